/** What only one may say in a group, or all in the same words: there is one load balancer, and one listener at a port. */
import type { ReadMember } from './member.ts';
import { admitEach } from './refusal.ts';

/** @param byAge of two that do not go together, the one that comes later is refused. @throws {Refusal} */
export function refuseConflicts(byAge: readonly ReadMember[]): void {
  const said = new Map<string, { readonly value: string; readonly by: ReadMember }>();
  admitEach(byAge, (member) => {
    const claims = [...claimsOf(member)];
    for (const [what, value] of claims) {
      const other = said.get(what);
      if (other && other.value !== value)
        return `${what} is ${value}, and ${other.value} by ${other.by.object} of the same group, which is older: they share a load balancer, so let them say the same, or put one into another group`;
    }
    for (const [what, value] of claims) if (!said.has(what)) said.set(what, { value, by: member });
    return undefined;
  });
}

/** What an Ingress says, and of what. */
function* claimsOf({
  settings,
  defaultAction,
  object,
}: ReadMember): Generator<[what: string, value: string]> {
  const { name, scheme, subnets, securityGroups, manageBackendRules, sslRedirect } = settings;
  if (name !== undefined) yield ['load-balancer-name', name];
  if (scheme !== undefined) yield ['scheme', scheme];
  if (subnets.tags) yield ['subnets', `by tags ${JSON.stringify(subnets.tags)}`];
  else if (subnets.named.names.length > 0) yield ['subnets', subnets.named.names.toSorted().join(', ')];
  if (securityGroups.names.length > 0) yield ['security-groups', securityGroups.names.join(', ')];
  if (manageBackendRules !== undefined)
    yield ['manage-backend-security-group-rules', `${manageBackendRules}`];
  if (sslRedirect !== undefined) yield ['ssl-redirect', `${sslRedirect}`];
  for (const [key, value] of Object.entries(settings.attributes))
    yield [`${key} of load-balancer-attributes`, value];
  for (const [key, value] of Object.entries(settings.tags)) yield [`tag ${key}`, value];
  for (const [port, { protocol, sslPolicy, inbound, attributes }] of settings.listeners) {
    yield [`the protocol of port ${port} (listen-ports)`, protocol];
    if (sslPolicy !== undefined) yield [`ssl-policy of port ${port}`, sslPolicy];
    if (inbound) {
      const { cidrs, prefixLists } = inbound;
      yield [`inbound-cidrs of port ${port}`, [...cidrs, ...prefixLists].toSorted().join(', ') || 'none'];
    }
    for (const [key, value] of Object.entries(attributes))
      yield [`${key} of listener-attributes.${protocol}-${port}`, value];
    if (defaultAction) yield [`the defaultBackend of port ${port}`, `that of ${object}`];
  }
}
