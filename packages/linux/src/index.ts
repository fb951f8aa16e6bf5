/**
 * The Linux kernel's network configuration, typed: network namespaces, rtnetlink, nftables, sysctls, and sockets
 * inside namespaces. See the package's README.
 */
export { cgroupsNamed, processesInCgroup, removeCgroup } from './cgroups.ts';
export { errnoName, SyscallError } from './errno.ts';
export { legacyChains } from './legacy-iptables.ts';
export { MalformedMessageError } from './netlink/attributes.ts';
export { NetlinkError, type Request } from './netlink/message.ts';
export type { NetlinkSocket } from './netlink/socket.ts';
export { NetNamespace } from './netns.ts';
export { type NetfilterPlace, openNetfilter, packetsPassed } from './nfnetlink.ts';
export { type NftChain, nftChains } from './nft-chains.ts';
export {
  changeNftElements,
  type NftElement,
  type NftElementChange,
  type NftEntry,
  type NftKey,
  nftElements,
} from './nft-elements.ts';
export { nftGeneration } from './nft-generation.ts';
export { Nftables, type NftCommand, NftError, type NftObject, type NftTransaction } from './nftables.ts';
export { type Address, type AddressSpec, addAddress, deleteAddress } from './rtnetlink/address.ts';
export { type Answer, BackgroundRtnetlink } from './rtnetlink/background.ts';
export type { BpfFilter } from './rtnetlink/bpf-filter.ts';
export {
  addLink,
  deleteLink,
  getLink,
  type Link,
  type LinkChange,
  type LinkSpec,
  type OperState,
  setLink,
  type Vxlan,
} from './rtnetlink/link.ts';
export { Monitor, type MonitorEvent, type MonitorGroup, monitor } from './rtnetlink/monitor.ts';
export {
  addNeighbour,
  deleteNeighbour,
  type Neighbour,
  type NeighbourSpec,
  type NeighbourState,
} from './rtnetlink/neighbour.ts';
export { addClsact, deleteClsact, type Qdisc } from './rtnetlink/qdisc.ts';
export { LinkReaper } from './rtnetlink/reaper.ts';
export {
  addRoute,
  deleteRoute,
  LOCAL_TABLE,
  MAIN_TABLE,
  type Nexthop,
  type Route,
  type RouteSpec,
  type RouteType,
} from './rtnetlink/route.ts';
export { Rtnetlink } from './rtnetlink/rtnetlink.ts';
export {
  addRule,
  deleteRule,
  type PortRange,
  type Rule,
  type RuleAction,
  type RuleSpec,
} from './rtnetlink/rule.ts';
export type { Scope } from './rtnetlink/values.ts';
export { bindUdp, connectTcp, listenTcp, setTtl } from './sockets.ts';
export { memfd } from './syscalls.ts';
export * as sysctl from './sysctl.ts';
