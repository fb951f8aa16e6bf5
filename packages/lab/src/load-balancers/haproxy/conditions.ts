/** The conditions of an application load balancer's rules, as conditions of HAProxy's. */
import type { QueryStringKeyValuePair, RuleCondition } from '@aws-sdk/client-elastic-load-balancing-v2';
import { matches } from './syntax.ts';

/** What matches a pattern, of which `*` is any text and `?` any character. @param any what a character may be. */
const wildcards = (pattern: string, any = '.'): string =>
  pattern
    .replace(/[\\^$.|+()[\]{}]/g, '\\$&')
    .replaceAll('*', `${any}*`)
    .replaceAll('?', any);

const whole = (pattern: string): string => `^${wildcards(pattern)}$`;

/** A host without a port matches whichever port the request names. */
const host = (pattern: string): string => `^${wildcards(pattern)}${pattern.includes(':') ? '' : '(:\\d+)?'}$`;

function queryPair({ Key, Value = '' }: QueryStringKeyValuePair): string {
  const any = '[^&]';
  const key = Key === undefined ? '([^&=]*=)?' : `${wildcards(Key, any)}=`;
  return `(^|&)${key}${wildcards(Value, any)}(&|$)`;
}

/**
 * https://docs.aws.amazon.com/elasticloadbalancing/latest/application/rule-condition-types.html. Paths and methods are compared
 * with their case, all others without; a header by each of its lines.
 * @param condition as {@link import('../../cloud/elbv2/conditions.ts').readConditions} completes them.
 */
export function conditionOf(condition: RuleCondition): string {
  switch (condition.Field) {
    case 'host-header':
      return matches('req.fhdr(host)', '-m reg -i', (condition.HostHeaderConfig?.Values ?? []).map(host));
    case 'path-pattern':
      return matches('path', '-m reg', (condition.PathPatternConfig?.Values ?? []).map(whole));
    case 'http-header': {
      const { HttpHeaderName = '', Values = [] } = condition.HttpHeaderConfig ?? {};
      return matches(`req.fhdr("${HttpHeaderName}")`, '-m reg -i', Values.map(whole));
    }
    case 'http-request-method':
      return matches('method', '-m str', condition.HttpRequestMethodConfig?.Values ?? []);
    case 'query-string':
      return matches('query', '-m reg -i', (condition.QueryStringConfig?.Values ?? []).map(queryPair));
    case 'source-ip':
      return matches('src', '-m ip', condition.SourceIpConfig?.Values ?? []);
    default:
      throw new Error(`there is no way to serve a condition of the field ${condition.Field}`);
  }
}
