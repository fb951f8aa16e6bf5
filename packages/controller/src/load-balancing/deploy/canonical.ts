/** One way to write what can be written in several, so that what is wanted and what there is can be compared. */
import { isDeepStrictEqual } from 'node:util';
import type { BindingSpec, ConditionSpec, HealthCheckSpec, NetworkingRule, Tags } from '../model/stack.ts';
import type { ExistingAction } from './existing.ts';
import type { References } from './match.ts';

const text = (value: unknown): string => JSON.stringify(value);
const sorted = (values: readonly string[]): string[] => [...new Set(values)].sort();

/** Conditions have no order, nor have their values. */
export function conditionsKey(conditions: readonly ConditionSpec[]): string {
  return text(
    sorted(
      conditions.map((condition) =>
        text([
          condition.field,
          'name' in condition ? condition.name : '',
          sorted(
            condition.values.map((value) =>
              typeof value === 'string' ? value : text([value.key ?? '', value.value]),
            ),
          ),
        ]),
      ),
    ),
  );
}

/** With the defaults of AWS. Target groups that are not there yet are none of those that are. */
export function actionsKey(actions: readonly ExistingAction[], { targetGroup }: References): string {
  return text(actions.map((action) => canonicalAction(action, targetGroup)));
}

function canonicalAction(action: ExistingAction, targetGroup: References['targetGroup']): unknown[] {
  switch (action.type) {
    case 'forward': {
      const groups = action.targetGroups.map(({ group, weight = 1 }) =>
        text([targetGroup(group) ?? group, action.targetGroups.length > 1 ? weight : 1]),
      );
      return ['forward', groups.sort(), action.stickinessSeconds ?? 0];
    }
    case 'redirect':
      return [
        'redirect',
        action.statusCode,
        action.protocol ?? '#{protocol}',
        action.host ?? '#{host}',
        action.port ?? '#{port}',
        action.path ?? '/#{path}',
        action.query ?? '#{query}',
      ];
    case 'fixed-response':
      return ['fixed-response', action.statusCode, action.contentType ?? '', action.messageBody ?? ''];
    case 'other':
      return ['other', action.name];
  }
}

export function bindingKey(spec: BindingSpec, { securityGroup }: References): string {
  const { namespace, service, nodeSelector, networking } = spec;
  const peers = (from: NetworkingRule['from']) =>
    sorted(
      from.map((peer) =>
        'cidr' in peer ? peer.cidr : (securityGroup(peer.securityGroup) ?? text(peer.securityGroup)),
      ),
    );
  const ports = (all: NetworkingRule['ports']) =>
    sorted(all.map(({ protocol, port }) => text([protocol, port ?? ''])));
  return text([
    namespace,
    service.name,
    service.port,
    Object.entries(nodeSelector?.matchLabels ?? {}).sort(),
    (nodeSelector?.matchExpressions ?? []).map(({ key, operator, values = [] }) => [key, operator, values]),
    sorted(networking.map((rule) => text([peers(rule.from), ports(rule.ports)]))),
  ]);
}

/** Only what is said of it: AWS completes the rest. */
export function isSameHealthCheck(wanted: HealthCheckSpec, found: HealthCheckSpec): boolean {
  return Object.entries(wanted).every(
    ([key, value]) => value === undefined || isDeepStrictEqual(value, found[key as keyof HealthCheckSpec]),
  );
}

/** Of the entries that are wanted, those that are not there. */
export function missing(
  wanted: Readonly<Record<string, string>>,
  found: Readonly<Record<string, string>>,
): Record<string, string> {
  return Object.fromEntries(Object.entries(wanted).filter(([key, value]) => found[key] !== value));
}

/** Keys of tags that are not wanted. Those of AWS's own cannot be taken away. */
export const unwanted = (wanted: Tags, found: Tags): string[] =>
  Object.keys(found).filter((key) => !Object.hasOwn(wanted, key) && !key.startsWith('aws:'));

export const isSameSet = (a: readonly string[], b: readonly string[]): boolean =>
  isDeepStrictEqual(sorted(a), sorted(b));
