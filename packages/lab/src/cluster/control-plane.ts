import type { Ipv4 } from '@enid/ip';
import { listenTcp, NetNamespace } from '@enid/linux';
import { startApiServer } from '../apiserver/index.ts';
import { LabDirectory } from '../base/directory.ts';
import { startControlLoops } from '../control-loops/index.ts';
import { openPki } from '../pki/index.ts';

/** Where the API server is, as EKS has it: an interface of its own in the VPC. */
export type ControlPlaneAddress = { readonly address: string; readonly namespace: string };

/** What its process tells the one that started it, and finds again when it is started anew. */
export type ControlPlaneReady = { readonly server: string };

export const ADDRESS = 'control-plane.json';
const LOOPBACK = '127.0.0.1' as Ipv4;
const READY = 'control-plane-ready.json';

/**
 * The control plane's process: API server and control loops. It runs in the network namespace of its interface in the VPC,
 * and listens on the host's loopback as well, for clients outside of the VPC. Resolves at SIGTERM; state is kept.
 */
export async function runControlPlane(lab: string): Promise<void> {
  const directory = new LabDirectory(lab);
  const { address } = directory.read<ControlPlaneAddress>(ADDRESS)!;
  const before = directory.read<ControlPlaneReady>(READY);
  const pki = await openPki(directory.file('pki'));
  // Who starts it is a client outside of the VPC.
  using outside = NetNamespace.open(`/proc/${process.ppid}/ns/net`);
  const loopback = listenTcp(outside, LOOPBACK, before ? Number(new URL(before.server).port) : 0);
  const api = await startApiServer({
    directory: directory.file('kubernetes'),
    pki,
    names: [address, LOOPBACK, 'localhost'],
    listen: [{ fd: loopback }, { host: address, port: 443 }],
    endpoint: { address, port: 443 },
  });
  const manager = await pki.authority.issueClient('system:kube-controller-manager', ['system:masters']);
  const { certificate: authority } = pki.authority;
  const loops = await startControlLoops({ api: { server: `https://${address}`, authority, ...manager } });
  const ready: ControlPlaneReady = { server: `https://${LOOPBACK}:${api.addresses[0]!.port}` };
  directory.write(ready, READY);
  process.send?.(ready);
  await new Promise((resolve) => process.once('SIGTERM', resolve).once('SIGINT', resolve));
  await loops.close();
  await api.close();
}
