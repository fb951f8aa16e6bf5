/** What the agents of a cluster say of their addresses, asked as an operator does. */
import assert from 'node:assert/strict';
import type { AddressMap } from '@enid/agent';
import { runWith } from './enid.ts';

/** The address map of a node. */
export async function mapOf(kubeconfig: string, node: string): Promise<AddressMap> {
  const { status, stdout, stderr } = await runWith(
    { KUBECONFIG: kubeconfig },
    'ips',
    '--node',
    node,
    '--json',
  );
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout);
}

/** Where an address is that a pod has: the ENI, and the slot of it. @throws when the map does not say it is the pod's. */
export function placeOf({ enis, node }: AddressMap, address: string, namespace: string, pod: string) {
  for (const eni of enis)
    for (const slot of eni.slots)
      for (const one of slot.kind === 'prefix' ? slot.addresses : [slot])
        if (one.address === address) {
          assert.deepEqual([one.state, one.namespace, one.pod], ['assigned', namespace, pod]);
          return { eni, slot };
        }
  return assert.fail(`${address} of ${namespace}/${pod} is not in the map of ${node}`);
}
