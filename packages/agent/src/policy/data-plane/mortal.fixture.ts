/** A process that guards two pods, and changes the rules of one back and forth until it is killed. See restart.test.ts. */
import { NetNamespace } from '@enid/linux';
import { DataPlane } from './index.ts';
import { policy, port, rules } from './testbed.ts';

const [directory, node, hook, client, server] = process.argv.slice(2) as [
  string,
  string,
  'tcx' | 'clsact',
  string,
  string,
];

const dataPlane = await DataPlane.open({ directory, hook, ns: NetNamespace.named(node) });
const common = { cidr: '10.0.1.0/24', ports: [port('UDP', 53)] };
const ways = [
  policy(common, { cidr: '10.9.0.0/16' }),
  policy({ cidr: '10.0.0.0/8', except: ['10.0.2.0/24'], ports: common.ports }),
  policy({ cidr: '10.0.1.1/32', ports: [port('UDP', 50, 53)] }, { cidr: '10.0.1.128/25' }),
];
for (let round = 0; ; round++) {
  await dataPlane.guard([
    {
      ifindex: Number(client),
      rules: rules({ egress: [policy({ cidr: '0.0.0.0/0', ports: [port('UDP', 1, 60)] })] }),
    },
    { ifindex: Number(server), rules: rules({ ingress: [ways[round % ways.length]!], egress: [policy()] }) },
  ]);
  if (round === 0) process.stdout.write('guarded');
  await new Promise(setImmediate);
}
