import { test } from 'node:test';
import type { Ipv4, Ipv4Cidr } from '@enid/ip';
import { NetNamespace, Nftables } from '@enid/linux';
import { natScript } from './nat.ts';
import { networkOptions } from './testbed.ts';

const facts = {
  primaryLink: 'eth0',
  primaryIp: '10.0.1.4' as Ipv4,
  vpcCidrs: ['10.0.0.0/16', '100.64.0.0/16'] as Ipv4Cidr[],
  secondaries: [
    { link: 'eth1', table: 2 },
    { link: 'eth2', table: 3 },
  ],
};

test('nft takes the table of every combination of options, also twice', async (t) => {
  const name = `nat${process.pid}`;
  const ns = NetNamespace.create(name);
  t.after(() => {
    ns.close();
    NetNamespace.delete(name);
  });
  const nftables = new Nftables(ns);
  for (const AWS_VPC_K8S_CNI_EXTERNALSNAT of ['true', 'false']) {
    for (const AWS_VPC_CNI_NODE_PORT_SUPPORT of ['true', 'false']) {
      for (const AWS_VPC_K8S_CNI_RANDOMIZESNAT of ['prng', 'hashrandom', 'none']) {
        const options = networkOptions({
          AWS_VPC_K8S_CNI_EXTERNALSNAT,
          AWS_VPC_CNI_NODE_PORT_SUPPORT,
          AWS_VPC_K8S_CNI_RANDOMIZESNAT,
          // Overlaps a block of the VPC, which an interval set has to merge.
          AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS: '10.0.9.0/24,192.0.2.0/24',
        });
        await nftables.apply(natScript(options, facts));
        await nftables.apply(natScript(options, { ...facts, vpcCidrs: [], secondaries: [] }));
      }
    }
  }
});
