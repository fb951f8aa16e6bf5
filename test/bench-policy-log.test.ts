/** A pod that sends nothing but what is denied, as fast as it can: what telling of it costs the node. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { pino } from 'pino';
import { makePath } from '../bench/policy-path.ts';
import { DataPlane, EVENTS_PER_SECOND } from '../packages/agent/src/policy/data-plane/index.ts';
import { FlowLog } from '../packages/agent/src/policy/flow-log.ts';
import { NodePolicies } from '../packages/agent/src/policy/node-policies.ts';
import { unbound } from '../packages/agent/src/policy/rules.ts';
import { Verdicts } from '../packages/agent/src/policy/verdicts.ts';
import { labOnly } from './given.ts';

const { test } = labOnly(
  'no cluster: what a flood costs the process of the test is measured on this machine',
);

const FLOOD_MS = 6_000;
const PODS = 10_000;

/** What is known of a cluster with many pods, of which the last one has an address. */
function clusterWith(address: string): NodePolicies {
  const policies = new NodePolicies('standard');
  const pods = Array.from({ length: PODS }, (_, i) => ({
    hostIP: '10.0.0.4',
    podIP: i === PODS - 1 ? address : `10.${100 + (i >> 8)}.0.${i & 255}`,
    namespace: 'default',
    name: `pod-${i}`,
  }));
  for (let from = 0; from < PODS; from += 1000)
    policies.setEndpoint(undefined, {
      metadata: { namespace: 'default', name: `part-${from}` },
      spec: {
        policyRef: { namespace: 'default', name: 'all' },
        podIsolation: ['Ingress'],
        podSelectorEndpoints: pods.slice(from, from + 1000),
      },
    });
  return policies;
}

/** Of this process, all of it, and at once. */
function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
}

test('a flood of denied packets costs at most 3 % of a core to log, and is counted whole', async (t) => {
  await using stack = new AsyncDisposableStack();
  const { client, server } = makePath(stack);
  const directory = mkdtempSync(join(tmpdir(), 'enid-flood-'));
  execFileSync('mount', ['-t', 'bpf', 'bpf', directory]);
  stack.defer(() => {
    execFileSync('umount', [directory]);
    rmdirSync(directory);
  });
  const logs = mkdtempSync(join(tmpdir(), 'enid-flood-log-'));
  stack.defer(() => rmSync(logs, { recursive: true }));
  const plane = await DataPlane.open({ directory: join(directory, 'policy'), ns: client.node });
  stack.defer(() => plane.close());
  const file = join(logs, 'flows.log');
  const log = new FlowLog({ file, onError: assert.ifError });
  stack.use(log);
  const policies = clusterWith(server.address);
  const verdicts = new Verdicts(plane, {
    podOf: () => 'default/flood',
    podAt: (address) => policies.podAt(address),
    log: pino({ level: 'silent' }),
  });
  verdicts.listen((line) => log.write(JSON.stringify(line)));
  const policy = { kind: 'NetworkPolicy', namespace: 'default', name: 'closed' } as const;
  const closed = { ...unbound('allow'), networkPolicies: [{ policy, peers: [] }] };
  const rules = { ingress: closed, egress: closed };
  await plane.guard([{ ifindex: client.ifindex, rules, log: 'denied' }]);

  const ends = [client, server].map(({ namespace, address }) => JSON.stringify({ namespace, address }));
  const script = join(import.meta.dirname, 'flood.ts');
  const child = spawn(process.execPath, [script, ...ends, '9000', String(FLOOD_MS)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  stack.defer(() => void child.kill());
  const said = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  await said.next();
  // Neither what is compiled while the process is young nor what is left of describing 10,000 pods is a cost of the flood.
  await sleep(FLOOD_MS / 6);
  collectGarbage();
  await sleep(FLOOD_MS / 6);
  const [began, from] = [process.cpuUsage(), performance.now()];
  await sleep(FLOOD_MS / 2);
  // Of all threads: to collect garbage and to write files is done on others.
  const { user, system } = process.cpuUsage(began);
  const share = (user + system) / 1e3 / (performance.now() - from);
  const rate = Number((await said.next()).value);
  await sleep(100);
  await log.written();
  const written = readFileSync(file, 'utf8').trim().split('\n');
  assert.equal(JSON.parse(written[0]!).destination.pod, 'default/pod-9999');
  const lines = written.length;
  const { packets, lostEvents } = plane.counters();
  t.diagnostic(
    `${rate.toFixed(0)} packets a second, ${lines} logged, ${lostEvents} more counted, ${(100 * share).toFixed(2)} % of a core`,
  );
  assert.ok(rate > 50_000, `${rate} packets a second are no flood`);
  assert.ok(share < 0.03, `logging takes ${share} of a core`);
  const [least, most] = [0, 2].map((more) => EVENTS_PER_SECOND * (FLOOD_MS / 1000 + more));
  assert.ok(lines >= least! && lines < most!, `${lines} lines`);
  assert.equal(packets.egress.deny, lines + lostEvents);
});
