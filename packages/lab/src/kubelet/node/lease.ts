import { type Clock, isAlreadyExists, isNotFound, type KubeClient, type Lease, type Node } from '@enid/kube';

const DURATION = 40;
const LEASES = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases';

/** Says that the node lives: renews its lease, or makes it. */
export async function renewLease(client: KubeClient, node: Node, clock: Clock): Promise<void> {
  const name = node.metadata!.name!;
  const path = `${LEASES}/${name}`;
  const renewTime = new Date(clock.now()).toISOString().replace('Z', '000Z');
  const spec = { holderIdentity: name, leaseDurationSeconds: DURATION, renewTime };
  try {
    await client.patch<Lease>(path, { spec });
  } catch (error) {
    if (!isNotFound(error)) throw error;
    const ownerReferences = [{ apiVersion: 'v1', kind: 'Node', name, uid: node.metadata!.uid! }];
    const metadata = { name, namespace: 'kube-node-lease', ownerReferences };
    await client
      .create<Lease>(LEASES, { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec })
      .catch((refusal) => {
        if (!isAlreadyExists(refusal)) throw refusal;
      });
  }
}
