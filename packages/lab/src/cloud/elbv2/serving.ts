/** What the load balancers of an account have to do, with nothing left to look up: for whatever serves as them. */
import type { Action, RuleCondition } from '@aws-sdk/client-elastic-load-balancing-v2';
import type { Ipv4 } from '@enid/ip';
import type { CloudState } from '../state.ts';
import {
  attributesOf,
  listenerAttributes,
  loadBalancerAttributes,
  targetGroupAttributes,
} from './attributes.ts';
import { isCrossZone, isReached } from './health.ts';
import { listenersOf, rulesOf, targetGroupsUsedBy } from './resources.ts';
import { SSL_POLICIES, type SslPolicy } from './ssl-policies.ts';
import type { HealthCheck, Listener, LoadBalancer, TargetGroup } from './state.ts';

export type ServingLoadBalancer = Pick<LoadBalancer, 'arn' | 'id' | 'name' | 'type'> & {
  /** An interface each. */
  readonly zones: readonly { readonly zone: string; readonly address: Ipv4 }[];
  /** All that there are, as of listeners and target groups. */
  readonly attributes: Readonly<Record<string, string>>;
  readonly listeners: readonly ServingListener[];
  /** Those that actions forward to, by ARN. */
  readonly targetGroups: Readonly<Record<string, ServingTargetGroup>>;
};

export type ServingListener = Pick<Listener, 'arn' | 'protocol' | 'port' | 'alpnPolicy'> & {
  /** Of secure listeners, as the certificates: the default one first. */
  readonly sslPolicy?: SslPolicy;
  readonly certificates: readonly ServingCertificate[];
  readonly attributes: Readonly<Record<string, string>>;
  /** The first that matches is taken; the last is the default one, without conditions. */
  readonly rules: readonly {
    readonly conditions: readonly RuleCondition[];
    readonly actions: readonly Action[];
  }[];
};

/** PEM. */
export type ServingCertificate = {
  readonly arn: string;
  readonly names: readonly string[];
  readonly certificate: string;
  readonly chain?: string;
  readonly privateKey: string;
};

export type ServingTargetGroup = Pick<
  TargetGroup,
  'arn' | 'name' | 'protocol' | 'protocolVersion' | 'targetType'
> & {
  readonly attributes: Readonly<Record<string, string>>;
  readonly healthCheck: HealthCheck;
  /** Whether a zone's node sends to the targets of all zones, or only to those of its own. */
  readonly crossZone: boolean;
  readonly targets: readonly ServingTarget[];
};

export type ServingTarget = {
  /** As the target group has it: an instance id, or an address. */
  readonly id: string;
  readonly address: Ipv4;
  readonly port: number;
  /** `all` for an address outside of the VPC, which is in every zone. */
  readonly zone: string;
  /** It takes no new connections, and keeps those that it has. */
  readonly draining: boolean;
};

function targetsOf(state: CloudState, loadBalancer: LoadBalancer, group: TargetGroup): ServingTarget[] {
  return Object.values(group.targets)
    .filter((target) => isReached(loadBalancer, target))
    .flatMap(({ id, port, availabilityZone: zone, drainingSince }) => {
      const instance = state.instances[id];
      if (group.targetType === 'instance' && instance?.state !== 'running') return [];
      const address = instance?.privateIp ?? (id as Ipv4);
      return [{ id, address, port, zone, draining: drainingSince !== undefined }];
    });
}

function targetGroup(state: CloudState, loadBalancer: LoadBalancer, group: TargetGroup): ServingTargetGroup {
  const { arn, name, protocol, protocolVersion, targetType, healthCheck } = group;
  return {
    arn,
    name,
    protocol,
    ...(protocolVersion && { protocolVersion }),
    targetType,
    healthCheck,
    attributes: attributesOf(targetGroupAttributes(group), group.attributes),
    crossZone: isCrossZone(loadBalancer, group),
    targets: targetsOf(state, loadBalancer, group),
  };
}

function certificate(state: CloudState, arn: string): ServingCertificate[] {
  const found = state.certificates[arn];
  if (!found?.certificate || !found.privateKey) return [];
  return [
    {
      arn,
      names: [...new Set([found.domainName, ...found.subjectAlternativeNames])],
      certificate: found.certificate,
      ...(found.chain && { chain: found.chain }),
      privateKey: found.privateKey,
    },
  ];
}

function listener(state: CloudState, from: Listener): ServingListener {
  const { arn, protocol, port, alpnPolicy } = from;
  const sslPolicy = SSL_POLICIES.get(from.sslPolicy ?? '');
  return {
    arn,
    protocol,
    port,
    ...(alpnPolicy && { alpnPolicy }),
    ...(sslPolicy && { sslPolicy }),
    certificates: from.certificates.flatMap((each) => certificate(state, each)),
    attributes: attributesOf(listenerAttributes(from), from.attributes),
    rules: [...rulesOf(state, arn), { conditions: [], actions: from.defaultActions }].map(
      ({ conditions, actions }) => ({ conditions, actions }),
    ),
  };
}

/** The active load balancers, in the order in which they were made. */
export function servingLoadBalancers(state: CloudState): ServingLoadBalancer[] {
  return Object.values(state.loadBalancers)
    .filter(({ state: status }) => status === 'active')
    .map((loadBalancer) => {
      const { arn, id, name, type, zones, attributes } = loadBalancer;
      const groups = [...targetGroupsUsedBy(state, arn)].flatMap((group) => state.targetGroups[group] ?? []);
      return {
        arn,
        id,
        name,
        type,
        zones: zones.flatMap(({ zone, networkInterfaceId }) => {
          const address = state.networkInterfaces[networkInterfaceId]?.primaryIp;
          return address ? [{ zone, address }] : [];
        }),
        attributes: attributesOf(loadBalancerAttributes(loadBalancer), attributes),
        listeners: listenersOf(state, arn).map((each) => listener(state, each)),
        targetGroups: Object.fromEntries(
          groups.map((group) => [group.arn, targetGroup(state, loadBalancer, group)]),
        ),
      };
    });
}
