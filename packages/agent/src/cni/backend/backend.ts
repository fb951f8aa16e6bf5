/**
 * The agent as Amazon's own plugin executable knows it: `rpc.CNIBackend`. That plugin wires the pod itself, so
 * here addresses are handed out and taken back. When it has wired a pod it asks `rpc.NPBackend` to fence it in, and waits for that.
 */
import type { Ipv4Cidr } from '@enid/ip';
import type { Logger } from '../../log.ts';
import { type PodGuard, PolicyUnknownError } from '../../policy/guard.ts';
import { type Assignment, NoAddressError, type Readiness, type SandboxKey } from '../../seams.ts';
import type { CniPlugin } from '../plugin.ts';
import { netnsAt, sandboxMetadata } from '../sandboxes/metadata.ts';

/** The release whose protocol this is. */
const SPOKEN = 'v1.23';

export type CniBackendOptions = {
  readonly plugin: Pick<CniPlugin, 'assign' | 'release'>;
  readonly ready: () => Readiness;
  /** All IPv4 blocks of the VPC. */
  readonly vpcCidrs: () => Promise<readonly Ipv4Cidr[]>;
  readonly snat: { readonly externalSnat: boolean; readonly excludeSnatCidrs: readonly Ipv4Cidr[] };
  /** When it is not empty, the plugin calls Amazon's network policy agent for each pod, and fails without it. */
  readonly networkPolicyMode: string;
  /** Fences pods in, in the place of Amazon's network policy agent. */
  readonly policies?: { readonly mode: string; readonly guard: Pick<PodGuard, 'guardNamed'> } | undefined;
  readonly log: Logger;
};

type Request = {
  readonly ClientVersion: string;
  readonly K8S_POD_NAME: string;
  readonly K8S_POD_NAMESPACE: string;
  readonly ContainerID: string;
  readonly IfName: string;
  readonly NetworkName: string;
};
export type AddNetworkRequest = Request & {
  readonly Netns: string;
  readonly RequiresMultiNICAttachment: boolean;
};
export type DelNetworkRequest = Request & { readonly Reason: string };

export type PodRequest = { readonly K8S_POD_NAME: string; readonly K8S_POD_NAMESPACE: string };

/** A reply; the reason of a refusal has no field in it. */
export type Reply = { readonly message: object; readonly refusal?: string };

export class CniBackend {
  readonly #options: CniBackendOptions;
  readonly #otherVersions = new Set<string>();

  constructor(options: CniBackendOptions) {
    this.#options = options;
  }

  async addNetwork(request: AddNetworkRequest): Promise<Reply> {
    const { plugin, vpcCidrs, snat, log } = this.#options;
    this.#note(request);
    const key = keyOf(request);
    if (!key) return refuse('ContainerID, IfName and NetworkName must be set');
    if (request.RequiresMultiNICAttachment) {
      log.warn(key, 'the pod asks for an interface on each network card, and gets one');
    }
    const metadata = sandboxMetadata({
      namespace: request.K8S_POD_NAMESPACE,
      name: request.K8S_POD_NAME,
      netns: netnsAt(request.Netns),
    });
    try {
      const assignment = await plugin.assign(key, { metadata });
      const excluded = snat.externalSnat ? [] : snat.excludeSnatCidrs;
      return {
        message: {
          Success: true,
          IPAddress: [addressOf(assignment)],
          UseExternalSNAT: snat.externalSnat,
          VPCv4CIDRs: [...(await vpcCidrs()), ...excluded],
          NetworkPolicyMode: this.#mode,
        },
      };
    } catch (error) {
      if (!(error instanceof NoAddressError)) throw error;
      return refuse(error.message);
    }
  }

  async delNetwork(request: DelNetworkRequest): Promise<Reply> {
    this.#note(request);
    const key = keyOf(request);
    const released = key && (await this.#options.plugin.release(key));
    // Of an attachment that is not known there is nothing to take down: that is a success, as DEL has to be.
    const IPAddress = released ? [addressOf(released)] : [];
    return { message: { Success: true, IPAddress, NetworkPolicyMode: this.#mode } };
  }

  /** The pod is wired, and ADD waits: none of its containers runs yet. */
  async enforceNpToPod({ K8S_POD_NAMESPACE: namespace, K8S_POD_NAME: name }: PodRequest): Promise<Reply> {
    const { policies } = this.#options;
    if (!policies) return refuse('network policies are not enforced: set ENABLE_NETWORK_POLICY=true');
    try {
      if (await policies.guard.guardNamed(namespace, name)) return { message: { Success: true } };
      return refuse(`the pod ${namespace}/${name} has no link on this node`);
    } catch (error) {
      if (!(error instanceof PolicyUnknownError)) throw error;
      return refuse(error.message);
    }
  }

  /** What guards a pod goes when its link goes. */
  deletePodNp(): Reply {
    return { message: { Success: true } };
  }

  getNetworkPolicyConfigs(): Reply {
    return { message: { NetworkPolicyMode: this.#options.networkPolicyMode } };
  }

  /** @returns undefined for a service that is not known. */
  check(service: string): 'SERVING' | 'NOT_SERVING' | undefined {
    // A node whose subnet is full is not ready, and a restart would not help: so liveness is another question.
    if (service === 'liveness') return 'SERVING';
    if (service === 'grpc.health.v1.np-agent') return this.#options.policies ? 'SERVING' : 'NOT_SERVING';
    if (service !== '' && service !== 'grpc.health.v1.aws-node') return undefined;
    return this.#options.ready().ok ? 'SERVING' : 'NOT_SERVING';
  }

  get #mode(): string {
    return this.#options.policies?.mode ?? this.#options.networkPolicyMode;
  }

  #note({ ClientVersion: version }: Request): void {
    if (version.startsWith(`${SPOKEN}.`) || this.#otherVersions.has(version)) return;
    this.#otherVersions.add(version);
    this.#options.log.warn(
      { version },
      `the plugin executable is of ${version || 'no version'}; it is served as ${SPOKEN} is`,
    );
  }
}

function keyOf({ NetworkName, ContainerID, IfName }: Request): SandboxKey | undefined {
  if (!NetworkName || !ContainerID || !IfName) return undefined;
  return { network: NetworkName, containerId: ContainerID, ifName: IfName };
}

function addressOf({ address, eni }: Assignment): object {
  return {
    IPv4Addr: address,
    DeviceNumber: eni.deviceNumber,
    RouteTableId: eni.primary ? 1 : eni.table,
  };
}

function refuse(refusal: string): Reply {
  return { message: { Success: false }, refusal };
}
