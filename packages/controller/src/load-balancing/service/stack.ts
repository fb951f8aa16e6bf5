/** The network load balancer that a Service asks for, by the semantics of the AWS Load Balancer Controller. */
import type { Service } from '@enid/kube';
import { type AttributeTable, readAttributes } from '../attributes.ts';
import { readCidrs } from '../cidrs.ts';
import { saidOfProtection } from '../deletion-protection.ts';
import { emptyStack, type ListenerSpec, type Scheme, type Stack } from '../model/stack.ts';
import { type Frontend, frontendsOf, readTls, type TlsSettings } from './frontends.ts';
import {
  checkAddressFamily,
  readLoadBalancerAttributes,
  readName,
  readScheme,
  readSubnets,
  withAddresses,
} from './load-balancer.ts';
import { networkingRules } from './networking.ts';
import { annotationsOf, ownsService } from './owned.ts';
import { type Reading, read, type ServiceWorld, stackIdOf } from './reading.ts';
import { EVERYBODY, readSecurity } from './security.ts';
import { preservesClient, readTargets, targetGroup } from './target-group.ts';

/** Annotations that mean what is not served here; to pass over them in silence would be to promise it. */
const NOT_SERVED = ['minimum-load-balancer-capacity', 'multi-cluster-target-group', 'quic-enabled-ports'];

const LISTENER_ATTRIBUTES: AttributeTable = { 'tcp.idle_timeout.seconds': [60, 6000] };

/**
 * What a Service needs of AWS.
 * @returns an empty stack for a Service that is not ours, or no longer, or is being deleted.
 * @throws {InvalidObject} that names the annotation or field to mend; what there is stays as it is meanwhile.
 * @throws {AwsError} when the account cannot be asked.
 */
export async function stackOfService(service: Service, world: ServiceWorld): Promise<Stack> {
  const id = stackIdOf(service);
  if (!ownsService(service) || service.metadata?.deletionTimestamp) {
    return { ...emptyStack(id), ...(mayGo(service) && { liftsProtection: true }) };
  }
  const reading = read(service, world);
  checkServed(reading);
  const tls = await readTls(reading);
  const frontends = frontendsOf(reading, tls);
  const targets = readTargets(reading);
  const listeners = frontends.map((frontend) => listener(reading, frontend, tls));
  checkListenerAttributes(reading, frontends);

  const present = await world.account.loadBalancerOf(id);
  const scheme = readScheme(reading, present);
  const subnets = await readSubnets(reading, scheme, present);
  const security = await readSecurity(reading, frontends, present);
  const clients = await clientsOf(reading, scheme);
  const facts = {
    healthCheck: targets.healthCheck,
    subnets: subnets.map(({ cidr }) => cidr),
    clients,
    hasSecurityGroups: security.groups.length > 0,
  };
  const onPrivateLink = reading.annotations.oneOf('inbound-sg-rules-on-private-link-traffic', ['on', 'off']);
  return {
    id,
    loadBalancer: {
      name: readName(reading, scheme),
      type: 'network',
      scheme,
      subnets: withAddresses(reading, scheme, subnets),
      securityGroups: security.groups,
      ...(onPrivateLink && { inboundRulesOnPrivateLink: onPrivateLink }),
      attributes: readLoadBalancerAttributes(reading),
      listeners,
      tags: reading.tags,
    },
    ...(security.managed && { securityGroup: security.managed }),
    targetGroups: frontends.map((frontend) => {
      const preserves = preservesClient(reading, frontend, targets);
      const rules = networkingRules(frontend, { ...facts, preservesClient: preserves });
      return targetGroup(reading, frontend, targets, security.opensTargets ? rules : []);
    }),
  };
}

/**
 * Who protects a load balancer from deletion has to take that back first.
 * @returns whether it is taken back. @throws {InvalidObject} while it is not.
 */
function mayGo(service: Service): boolean {
  const annotations = annotationsOf(service);
  const said = saidOfProtection(annotations, 'attributes');
  if (said === 'true')
    annotations.refuse(
      'attributes',
      'has deletion_protection.enabled=true: the load balancer stays until it is false',
    );
  return said === 'false';
}

function checkServed(reading: Reading): void {
  const { annotations } = reading;
  checkAddressFamily(reading);
  for (const name of NOT_SERVED) {
    const text = annotations.text(name);
    if (text !== undefined && text !== 'false') annotations.refuse(name, 'is not served: leave it out');
  }
}

function listener(
  { namespace, name, annotations, tags }: Reading,
  frontend: Frontend,
  tls: TlsSettings,
): ListenerSpec {
  const { port, protocol } = frontend;
  const isTls = protocol === 'TLS';
  return {
    protocol,
    port,
    certificates: isTls ? tls.certificates : [],
    ...(isTls && { sslPolicy: tls.sslPolicy, ...(tls.alpnPolicy && { alpnPolicy: tls.alpnPolicy }) }),
    attributes: readAttributes(annotations, attributesOf(frontend), LISTENER_ATTRIBUTES),
    defaultActions: [{ type: 'forward', targetGroups: [{ group: { id: `${namespace}/${name}:${port}` } }] }],
    rules: [],
    tags,
  };
}

const attributesOf = ({ protocol, port }: Frontend) => `listener-attributes.${protocol}-${port}`;

function checkListenerAttributes({ annotations }: Reading, frontends: readonly Frontend[]): void {
  const known = new Set(frontends.map(attributesOf));
  for (const name of annotations.names('listener-attributes.')) {
    if (!known.has(name))
      annotations.refuse(
        name,
        `is of no listener: there are ${[...known].map((each) => each.split('.')[1]).join(', ')}`,
      );
  }
}

/** Where clients come from: what the user says, else the VPC for an internal load balancer, else anywhere. */
async function clientsOf({ sourceRanges, world }: Reading, scheme: Scheme) {
  const said = readCidrs(sourceRanges);
  if (said.length > 0) return said;
  return scheme === 'internal' ? await world.account.vpcCidrs() : [EVERYBODY];
}
