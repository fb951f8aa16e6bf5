/**
 * The service proxy: takes kube-proxy's place on a node, with nftables.
 *
 * ```ts
 * const proxy = await ServiceProxy.start({
 *   podLinks: 'eni*',                       // the prefix of the pods' links, AWS_VPC_K8S_CNI_VETHPREFIX
 *   endpointCidrs: vpcCidrs,                // endpoints elsewhere are served, and reported
 *   registry: metrics.registry,             // kubeproxy_... metrics
 *   report: ({ service, reason, message }) => ...,  // an event on the Service, or on the node where `service` is undefined
 * });
 * // When the informers of Services and EndpointSlices have synced, and at each of their events:
 * proxy.update({ services: services.list(), endpointSlices: slices.list(), node: { name, zone, leaving } });
 * ...
 * await proxy.stop();                       // the rules stay, and Services with them
 * ```
 *
 * - **Feed it the whole state.** Updates are merged: one that comes after silence is done at once, then one each 30 ms.
 *   An update looks at what changed only, by the identity of the objects, which informers keep. Never give it the lists of an
 *   informer that has not synced: what is not in them is taken away.
 * - **Zone.** Take it from the node's label `topology.kubernetes.io/zone`.
 * - **Restarts** take up what is in the kernel, endpoints' slots included; nothing is flushed. `stop` leaves the tables;
 *   {@link removeServiceTables} takes them away, for a node on which the proxy is switched off.
 * - **Beside kube-proxy** it must not run: await {@link kubeProxyGone} first, and stop it after {@link kubeProxyFound}. Tables of others
 *   are never touched.
 * - **Ports on the node:** 10256 (`/healthz`), and every healthCheckNodePort.
 * - **Needs** Linux 5.10 or later, `nft` 1.0.6 or later, and `conntrack` 1.4.7 or later (without it UDP flows to endpoints
 *   that are gone stay until they end, which is reported).
 * - **To look:** `nft list map ip enid-services frontends`, `nft list map ip enid-services endpoints-tcp`. The address
 *   0.0.0.0 stands for all addresses of the node.
 *
 * As kube-proxy does it: a Service without endpoints is refused, so is a port that it does not have; traffic policy Local without a local endpoint drops; externalTrafficPolicy Cluster and pods that reach
 * themselves are masqueraded, by the mark 0x4000; NodePorts are not served at loopback. Otherwise than kube-proxy:
 * source ranges of the other family alone keep everybody out, and not let everybody in; of two Services that want
 * the same address and port, the older one has it; TCP is refused by a reset and not by an ICMP error, of which the kernel
 * sends a client but one a second.
 *
 * How it is made: `model` (what the API says of a Service's ports, with `endpoints` to choose from), `plan` (what that is in
 * the tables, with `placement` for the slots of endpoints and `layout` for the tables), `wanted` (all of it, by differences),
 * `objects` (to nft and back), `tables` (the kernel's side, with `memory` of clients), `stale-flows` (with `conntrack`),
 * `connection-tracking`, `taken-ports`, `health`, `metrics`.
 */
export type { NodeFacts } from './endpoints.ts';
export { kubeProxyFound, kubeProxyGone } from './kube-proxy.ts';
export type { EndpointSlice, Service } from './kubernetes.ts';
export { disjoint, type Problem } from './model.ts';
export { ServiceProxy, type ServiceProxyOptions } from './service-proxy.ts';
export { removeServiceTables } from './tables.ts';
export type { Inputs } from './wanted.ts';
