/** The rules of an application load balancer's listener, as lines of a frontend. */
import type { Action, ActionTypeEnum, RedirectActionConfig } from '@aws-sdk/client-elastic-load-balancing-v2';
import type { ServingListener } from '../../cloud/elbv2/serving.ts';
import { conditionOf } from './conditions.ts';
import { keep, keptOf } from './cookies.ts';
import { returnError, returnRedirect, returnText } from './responses.ts';
import { literal, matches } from './syntax.ts';

/** The name of a target group within a load balancer. */
export const groupName = (arn: string): string => arn.split('/').slice(-2).join('-');

/**
 * Which rule a request falls under is decided before any of them acts: HAProxy would answer with a later rule before it
 * forwards by an earlier one. What is forwarded has the name of its target group in `txn.group`.
 */
export function ruleLines({ protocol, port, rules, attributes }: ServingListener): string[] {
  const isTold = attributes['routing.http.response.server.enabled'] !== 'false';
  const undecided = '!{ var(txn.rule) -m found }';
  const decisions = rules.map(({ conditions }, index) =>
    [`http-request set-var(txn.rule) int(${index}) if`, undecided, ...conditions.map(conditionOf)].join(' '),
  );
  const actions = rules.flatMap(({ actions: [action] }, index) => {
    const ifRule = `if { var(txn.rule) -m int ${index} }`;
    return actionLines(action!, ifRule, { protocol, port, isTold });
  });
  return [...decisions, ...actions];
}

type Listener = Pick<ServingListener, 'protocol' | 'port'> & { readonly isTold: boolean };

function actionLines(action: Action, ifRule: string, listener: Listener): string[] {
  const { isTold } = listener;
  switch (action.Type as ActionTypeEnum) {
    case 'fixed-response': {
      const { StatusCode = '', ContentType = 'text/plain', MessageBody = '' } = action.FixedResponseConfig!;
      return [`${returnText(StatusCode, { type: ContentType, text: MessageBody }, isTold)} ${ifRule}`];
    }
    case 'redirect': {
      const { StatusCode } = action.RedirectConfig!;
      const status = StatusCode === 'HTTP_302' ? 302 : 301;
      return [`${returnRedirect(status, locationOf(action.RedirectConfig!, listener), isTold)} ${ifRule}`];
    }
    default:
      return forwardLines(action, ifRule, isTold);
  }
}

/** As AWS has it, with the port whether or not it is the protocol's own. @returns a format. */
function locationOf(redirect: RedirectActionConfig, { protocol, port }: Listener): string {
  const places: Readonly<Record<string, string>> = {
    '#{protocol}': protocol.toLowerCase(),
    '#{port}': String(port),
    '#{host}': '%[req.hdr(host),host_only]',
    '#{path}': '%[path,bytes(1)]',
    '#{query}': '%[query]',
  };
  const filled = (text = '') =>
    text
      .split(/(#\{(?:protocol|port|host|path|query)\})/)
      .map((part) => places[part] ?? literal(part))
      .join('');
  const { Protocol = '#{protocol}', Host, Port, Path, Query } = redirect;
  const query =
    Query === '#{query}' ? '%[query,length,bool,iif("?","")]%[query]' : Query ? `?${filled(Query)}` : '';
  return `${filled(Protocol).toLowerCase()}://${filled(Host)}:${filled(Port)}${filled(Path)}${query}`;
}

function forwardLines({ ForwardConfig }: Action, ifRule: string, isTold: boolean): string[] {
  const tuples = ForwardConfig?.TargetGroups ?? [];
  const { Enabled: isSticky, DurationSeconds = 0 } = ForwardConfig?.TargetGroupStickinessConfig ?? {};
  const groups = tuples.map(({ TargetGroupArn = '', Weight = 1 }) => ({
    name: groupName(TargetGroupArn),
    weight: Weight,
  }));
  const weighted = groups.filter(({ weight }) => weight > 0);
  const total = weighted.reduce((sum, { weight }) => sum + weight, 0);
  const [first] = weighted;
  if (!first) return [`${returnError(503, isTold)} ${ifRule}`];
  const choose = ({ name }: { name: string }) => `http-request set-var(txn.group) str(${name}) ${ifRule}`;
  if (weighted.length === 1 && !isSticky) return [choose(first)];
  // The last line that matches is in force.
  let below = total;
  const chosen = weighted.toReversed().map((group) => {
    const line = `${choose(group)} { var(txn.die) -m int lt ${below} }`;
    below -= group.weight;
    return line;
  });
  const lines = [`http-request set-var(txn.die) rand(${total}) ${ifRule}`, ...chosen];
  if (!isSticky) return lines;
  const cookie = 'AWSALBTG';
  const names = weighted.map(({ name }) => name);
  const { value, isValid } = keptOf(cookie);
  return [
    ...lines,
    `http-request set-var(txn.group) ${value} ${ifRule} ${isValid} ${matches(value, '-m str', names)}`,
    ...keep(cookie, '%[var(txn.group)]', DurationSeconds, ifRule),
  ];
}
