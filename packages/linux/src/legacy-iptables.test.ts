import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { legacyChains } from './legacy-iptables.ts';
import { NetNamespace } from './netns.ts';

test('chains of iptables-legacy are listed as iptables-legacy-save lists them', (t) => {
  const name = `legacy-${process.pid}`;
  const ns = NetNamespace.create(name);
  t.after(() => {
    ns.close();
    NetNamespace.delete(name);
  });
  for (const [family, program] of [
    [4, 'iptables-legacy'],
    [6, 'ip6tables-legacy'],
  ] as const) {
    const run = (command: string, ...args: string[]) =>
      ns.run(() => spawnSync(command, args, { encoding: 'utf8' }));
    assert.deepEqual(legacyChains(ns, family, 'nat'), []);
    if (run(program, '-t', 'nat', '-S').status !== 0) {
      t.skip(`this kernel has no ${program}`);
      return;
    }
    assert.deepEqual(legacyChains(ns, family, 'nat'), []);
    const made = ['KUBE-SERVICES', 'KUBE-MARK-MASQ', 'A', 'x'.repeat(28)];
    for (const chain of made) assert.equal(run(program, '-t', 'nat', '-N', chain).status, 0);
    const rule = ['-t', 'nat', '-A', 'PREROUTING', '-m', 'comment', '--comment', 'ERROR', '-j'];
    assert.equal(run(program, ...rule, 'KUBE-SERVICES').status, 0);
    const saved = run(`${program}-save`, '-t', 'nat').stdout.matchAll(/^:(\S+) - /gm);
    assert.deepEqual(legacyChains(ns, family, 'nat').sort(), [...saved].map(([, chain]) => chain).sort());
    assert.deepEqual(legacyChains(ns, family, 'nat').sort(), made.sort());
  }
});
