/** The rules of a listener: changed in place and moved rather than made anew, so that no request is without one meanwhile. */
import { RESOURCE } from '../model/identity.ts';
import type { RuleSpec, Tags } from '../model/stack.ts';
import { actionsKey, conditionsKey } from './canonical.ts';
import type { Change } from './changes.ts';
import type { ExistingRule } from './existing.ts';
import type { References } from './match.ts';
import { retag } from './plan-tags.ts';

export type RulesRequest = {
  readonly port: number;
  readonly wanted: readonly RuleSpec[];
  readonly existing: readonly ExistingRule[];
  /** How many rules the load balancer has, on all listeners. */
  readonly total: number;
  /** How many it may have. */
  readonly most: number;
  readonly references: References;
  /** All tags of a rule. */
  readonly tags: (resource: string, tags: Tags) => Tags;
  readonly externalTags?: readonly string[] | undefined;
};

/**
 * Rules have the priorities 1, 2, 3 in the order in which they are wanted. A rule with the same conditions is the same
 * rule. One that is left over becomes one that is new between the same neighbours: what is changed in place answers requests
 * all the time, and has not to pass any other rule on its way.
 */
export function planRules(request: RulesRequest): Change[] {
  const { port, wanted, existing, total, most, references, tags } = request;
  const kept = matchRules(wanted, existing);
  const leftovers = existing.filter((rule) => !kept.includes(rule));
  const place = (index: number) => index + 1;
  const created = wanted.flatMap((spec, index): Change[] =>
    kept[index]
      ? []
      : [
          {
            call: 'CreateRule',
            port,
            priority: place(index),
            spec,
            tags: tags(RESOURCE.rule(port, place(index)), spec.tags),
          },
        ],
  );
  const modified = wanted.flatMap((spec, index): Change[] => {
    const rule = kept[index];
    if (!rule) return [];
    const same =
      conditionsKey(spec.conditions) === conditionsKey(rule.conditions) &&
      actionsKey(spec.actions, references) === actionsKey(rule.actions, references);
    return same ? [] : [{ call: 'ModifyRule', port, arn: rule.arn, spec }];
  });
  const deleted = leftovers.map(({ arn, priority }): Change => ({ call: 'DeleteRule', port, arn, priority }));
  const priorities = Object.fromEntries(
    kept.flatMap((rule, index) => (rule && rule.priority !== place(index) ? [[rule.arn, place(index)]] : [])),
  );
  // What is new comes before what goes, if the quota has room for both: nobody is to be without a rule.
  const isTight = total + created.length > most;
  if (!isTight) {
    const taken = new Set(wanted.map((_, index) => place(index)).filter((p) => kept[p - 1]?.priority !== p));
    let free = Math.max(wanted.length, ...existing.map(({ priority }) => priority));
    for (const rule of leftovers) if (taken.has(rule.priority)) priorities[rule.arn] = ++free;
  }
  const moved: Change[] =
    Object.keys(priorities).length > 0 ? [{ call: 'SetRulePriorities', port, priorities }] : [];
  // Which of the order a rule is, its tag says when it is made, and its priority says later.
  const resources = kept.flatMap((rule, index) => {
    const resource =
      rule && Object.entries(rule.tags).find(([key]) => key.endsWith('.k8s.aws/resource'))?.[1];
    const wantedTags = tags(resource ?? RESOURCE.rule(port, place(index)), wanted[index]!.tags);
    return rule ? [{ id: rule.arn, wanted: wantedTags, found: rule.tags }] : [];
  });
  const tagged = [...retag('rule', resources, request.externalTags)];
  return isTight
    ? [...deleted, ...moved, ...created, ...modified, ...tagged]
    : [...moved, ...created, ...modified, ...tagged, ...deleted];
}

/** @returns for each rule that is wanted the one that it is, or becomes. */
function matchRules(
  wanted: readonly RuleSpec[],
  existing: readonly ExistingRule[],
): (ExistingRule | undefined)[] {
  const byConditions = new Map<string, ExistingRule[]>();
  const inOrder = existing.toSorted((a, b) => a.priority - b.priority);
  for (const rule of inOrder) {
    const key = conditionsKey(rule.conditions);
    byConditions.set(key, [...(byConditions.get(key) ?? []), rule]);
  }
  const kept = wanted.map((spec) => byConditions.get(conditionsKey(spec.conditions))?.shift());
  const spare = new Map<ExistingRule | undefined, ExistingRule[]>();
  let before: ExistingRule | undefined;
  for (const rule of inOrder) {
    if (kept.includes(rule)) before = rule;
    else spare.set(before, [...(spare.get(before) ?? []), rule]);
  }
  before = undefined;
  return kept.map((rule) => {
    before = rule ?? before;
    return rule ?? spare.get(before)?.shift();
  });
}
