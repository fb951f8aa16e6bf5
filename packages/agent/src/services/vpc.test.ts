/** Services together with the node's VPC rules, in a VPC that drops what leaves by the wrong network interface. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { NetNamespace, Nftables } from '@enid/linux';
import { LinuxNodeNetwork } from '../network/node-network.ts';
import {
  assignmentOf,
  INTERNET_HOST,
  ip,
  makeTestbed,
  networkOptions,
  primaryEni,
  secondaryEni,
  VPC_CIDR,
  VPC_HOST,
} from '../network/testbed.ts';
import { findKubeProxy, kubeProxyFound, kubeProxyGone } from './kube-proxy.ts';
import { ServiceProxy } from './service-proxy.ts';
import { removeServiceTables } from './tables.ts';
import { bring, call, serveTcp, service, slice } from './testbed.ts';

test('NodePorts answer by the ENI that was asked, pods of every ENI reach Services, and the VPC drops nothing', async (t) => {
  const bed = makeTestbed(t);
  const network = new LinuxNodeNetwork(networkOptions(), bed.node);
  t.after(() => network.close());
  bed.attach(secondaryEni);
  await network.setup({ primaryEni, vpcCidrs: [VPC_CIDR] });
  await network.setEnis([primaryEni, secondaryEni]);
  const pods = [];
  for (const [name, address, eni] of [
    ['one', '10.0.1.5', primaryEni],
    ['two', '10.0.1.51', secondaryEni],
  ] as const) {
    const assignment = assignmentOf(name, address, eni);
    const { ns, path } = bed.makePod();
    using sandbox = network.pods.open(path);
    await network.pods.connect(await network.pods.prepare(assignment, sandbox), assignment, sandbox);
    serveTcp(t, ns, address, 8080, name);
    pods.push({ ns, address, name });
  }
  serveTcp(t, bed.vpc, VPC_HOST, 8080, 'far');
  serveTcp(t, bed.vpc, INTERNET_HOST, 8080, 'internet');

  const ns = NetNamespace.named(`${bed.name}-node`);
  const proxy = await ServiceProxy.start({ ns, podLinks: 'eni*', healthPort: null });
  t.after(() => proxy.stop());
  const node = primaryEni.primaryIp;
  const far = { addresses: [VPC_HOST], nodeName: 'node-2' };
  const backends = { one: '10.0.1.5', two: '10.0.1.51', far, internet: { addresses: [INTERNET_HOST] } };
  const names = Object.keys(backends) as (keyof typeof backends)[];
  const policies = ['Cluster', 'Local'];
  const services = policies.flatMap((externalTrafficPolicy, policy) =>
    names.map((name, index) =>
      service(`${name}-${policy}`, {
        type: 'NodePort',
        clusterIP: `172.20.${policy}.${index + 1}`,
        externalTrafficPolicy,
        ports: [{ port: 80, nodePort: 30_000 + 10 * policy + index }],
      }),
    ),
  );
  const slices = policies.flatMap((_, policy) =>
    names.map((name) => slice(`${name}-${policy}`, 8080, [backends[name]])),
  );
  await bring(proxy, services, slices);

  const outcomes: Record<string, string> = {};
  const expected: Record<string, string> = {};
  const check = async (
    what: string,
    from: NetNamespace,
    to: string,
    port: number,
    by: string,
    sees: string,
    localAddress?: string,
  ) => {
    const outcome = await call(from, to, port, {
      timeout: 500,
      ...(localAddress && { localAddress: localAddress as never }),
    });
    outcomes[what] = typeof outcome === 'object' ? `${outcome.by} sees ${outcome.sees}` : outcome;
    expected[what] = `${by} sees ${sees}`;
  };
  for (const [index, name] of names.entries()) {
    for (const pod of pods) {
      // A pod that reaches itself sees the node, and so does everybody outside the VPC.
      const sees = pod.name === name || name === 'internet' ? node : pod.address;
      await check(`${pod.name} to ${name}`, pod.ns, `172.20.0.${index + 1}`, 80, name, sees);
      await check(`${pod.name} to Local NodePort of ${name}`, pod.ns, node, 30_010 + index, name, sees);
    }
    await check(`node to ${name}`, bed.node, `172.20.0.${index + 1}`, 80, name, node);
    if (name === 'internet') continue;
    for (const asked of [node, secondaryEni.primaryIp]) {
      for (const client of [INTERNET_HOST, VPC_HOST]) {
        await check(
          `${client} to Cluster NodePort of ${name} at ${asked}`,
          bed.vpc,
          asked,
          30_000 + index,
          name,
          node,
          client,
        );
        if (name === 'far') continue;
        await check(
          `${client} to Local NodePort of ${name} at ${asked}`,
          bed.vpc,
          asked,
          30_010 + index,
          name,
          client,
          client,
        );
      }
    }
  }
  // Out by the ENI of the pod, with an address that this ENI owns.
  await check('one to NodePort of far', pods[0]!.ns, node, 30_002, 'far', node);
  await check('two to NodePort of far', pods[1]!.ns, node, 30_002, 'far', secondaryEni.primaryIp);
  assert.deepEqual(outcomes, expected);

  await network.reconcile([]);
  assert.ok(await new Nftables(bed.node).list({ family: 'ip', name: 'enid-services' }));
  assert.equal(findKubeProxy(bed.node), undefined);
  await removeServiceTables(bed.node);
  assert.equal(await new Nftables(bed.node).list({ family: 'ip', name: 'enid-services' }), undefined);
  assert.ok(await new Nftables(bed.node).list({ family: 'ip', name: 'enid' }));
});

test('kube-proxy is found in each of its modes', async (t) => {
  const bed = makeTestbed(t);
  const nftables = new Nftables(bed.node);
  const legacy = (...args: string[]) =>
    bed.node.run(() => spawnSync('iptables-legacy', ['-t', 'nat', ...args]));
  assert.equal(findKubeProxy(bed.node), undefined);
  for (const [make, take, found] of [
    [
      'add table ip6 kube-proxy; add chain ip6 kube-proxy services',
      'delete table ip6 kube-proxy',
      'table ip6 kube-proxy',
    ],
    [
      'add table ip nat; add chain ip nat KUBE-SERVICES',
      'delete table ip nat',
      'chain KUBE-SERVICES of table ip nat',
    ],
  ] as const) {
    await nftables.apply(`${make}\n`);
    assert.equal(findKubeProxy(bed.node), found);
    await nftables.apply(`${take}\n`);
  }
  ip(bed.node, 'link', 'add', 'kube-ipvs0', 'type', 'veth');
  assert.equal(findKubeProxy(bed.node), 'link kube-ipvs0');
  const { signal } = new AbortController();
  const told: string[] = [];
  await kubeProxyFound(bed.node, signal);
  const gone = kubeProxyGone(bed.node, signal, async (found) => void told.push(found));
  ip(bed.node, 'link', 'delete', 'kube-ipvs0');
  await gone;
  assert.deepEqual(told, ['link kube-ipvs0']);
  assert.equal(findKubeProxy(bed.node), undefined);
  // Chains of nftables, too, are seen to come and go while it is waited for them.
  const found = kubeProxyFound(bed.node, signal);
  await sleep(600);
  await nftables.apply('add table ip nat; add chain ip nat KUBE-SERVICES\n');
  await found;
  const goneAgain = kubeProxyGone(bed.node, signal, async (found) => void told.push(found));
  await nftables.apply('delete table ip nat\n');
  await goneAgain;
  assert.deepEqual(told, ['link kube-ipvs0', 'chain KUBE-SERVICES of table ip nat']);
  // Not every kernel has it.
  if (legacy('-N', 'KUBE-MARK-MASQ').status !== 0) return t.diagnostic('no iptables-legacy here');
  assert.equal(findKubeProxy(bed.node), undefined);
  legacy('-N', 'KUBE-SERVICES');
  assert.equal(findKubeProxy(bed.node), 'chain KUBE-SERVICES of iptables-legacy, table nat');
});
