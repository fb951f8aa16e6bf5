/**
 * The interfaces by which the halves of the agent know each other: L-IPAM hands out addresses
 * (`AddressPool`), the CNI server asks for them, the node network wires them (`NodeNetwork`).
 *
 * `agent.ts` makes one of each and passes it to the others; no half imports another's internals.
 */
import type { Ipv4, Ipv4Cidr } from '@enid/ip';
import type { Refusal, RefusalCause } from '@enid/ipam';

/** What CNI identifies an attachment by: the same three make the same attachment. */
export type SandboxKey = {
  /** Name of the network configuration, `aws-cni`. */
  readonly network: string;
  /** CNI_CONTAINERID. */
  readonly containerId: string;
  /** CNI_IFNAME, `eth0` for an ordinary pod. */
  readonly ifName: string;
};

/** What is kept beside an allocation in the checkpoint, and shown by introspection. */
export type SandboxMetadata = {
  readonly k8sPodNamespace?: string;
  readonly k8sPodName?: string;
  /** As the runtime told it: a pod of the same name may come before this one's sandbox has gone. */
  readonly k8sPodUid?: string;
  /** The name of the pod's link on the node, when that is all that is known of the pod. */
  readonly hostVeth?: string;
  readonly [key: string]: string | undefined;
};

/** An ENI of this node as the node network needs to know it. */
export type NodeEni = {
  /** `eni-...` */
  readonly id: string;
  /** Lower case, `aa:bb:cc:dd:ee:ff`. The link is found by it. */
  readonly mac: string;
  readonly deviceNumber: number;
  readonly primary: boolean;
  /** The ENI's own address; pods never get it. */
  readonly primaryIp: Ipv4;
  readonly subnetCidr: Ipv4Cidr;
  /** Route table: 254 (main) for the primary ENI, else device number + 1. */
  readonly table: number;
};

/** An address held by one sandbox. */
export type Assignment = {
  readonly key: SandboxKey;
  readonly address: Ipv4;
  readonly eni: NodeEni;
  readonly metadata: SandboxMetadata;
};

/** Whether a new pod would get an address now; `reason` is a sentence for people. */
export type Readiness = { readonly ok: true } | { readonly ok: false; readonly reason: string };

/** L-IPAM as the CNI server sees it. */
export interface AddressPool {
  ready(): Readiness;
  /**
   * Gives the sandbox an address; the same key gets the same address again. When this resolves the allocation
   * is on disk. May wait a few seconds for an address that is being fetched from EC2 at this moment.
   * @throws {NoAddressError} whose message names the limit that was hit, on what, and what to do.
   */
  assign(key: SandboxKey, metadata: SandboxMetadata): Promise<Assignment>;
  lookup(key: SandboxKey): Assignment | undefined;
  /**
   * Takes the sandbox's address back and starts its cooldown. Call it after the pod's wiring is gone. When
   * this resolves the release is on disk. Resolves to what was held, or undefined (that is no error).
   */
  release(key: SandboxKey): Promise<Assignment | undefined>;
  assignments(): Assignment[];
}

/** No address can be given. The message is written for the person who reads the pod's events. */
export class NoAddressError extends Error {
  override readonly name = 'NoAddressError';
  readonly reason: RefusalCause;

  constructor({ cause, sentence }: Refusal) {
    super(sentence);
    this.reason = cause;
  }
}

/** What `NodeNetwork.setup` puts in force. */
export type NodeNetworkSetup = {
  readonly primaryEni: NodeEni;
  /** All IPv4 blocks of the VPC, from metadata. Traffic to them is not SNATed. */
  readonly vpcCidrs: readonly Ipv4Cidr[];
};

/** A pod to be wired, checked or taken down. */
export type PodNetwork = {
  readonly assignment: Assignment;
  /** CNI_NETNS: a path such as `/run/netns/cni-...`. */
  readonly netns: string;
};

/** A pod's link on the node, and the address that a route by it leads to. */
export type PodLink = { readonly name: string; readonly address: Ipv4 };

/** The node's side of the network, in the kernel. Every call is idempotent. */
export interface NodeNetwork {
  /** Puts the node-wide state in force: sysctls, SNAT, connmark rules. Called again when a VPC CIDR is added. */
  setup(setup: NodeNetworkSetup): Promise<void>;
  /**
   * The ENIs that this node uses, the primary one included. Secondary ones are brought up with their tables
   * once their link is there (waits for it). The tables of ENIs that are neither named nor used by a pod go with
   * the next {@link reconcile}.
   * Addresses of an ENI are offered to pods only after this has resolved.
   */
  setEnis(enis: readonly NodeEni[]): Promise<void>;
  /** Makes the kernel match these assignments again: at start and every minute. */
  reconcile(assignments: readonly Assignment[]): Promise<void>;
  /** What is wired, whoever did it and whatever L-IPAM knows of it. */
  podLinks(): PodLink[];
  /** Stops what runs in the background. Pods keep their network. */
  close(): Promise<void>;
}
