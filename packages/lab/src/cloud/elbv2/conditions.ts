import type { RuleCondition } from '@aws-sdk/client-elastic-load-balancing-v2';
import { parseCidr } from '@enid/ip';
import { AwsError } from '../errors.ts';
import type { Context } from '../operation.ts';
import { invalid, required } from './operation.ts';

/** A condition of each field at most once in a rule, but for headers and query strings. */
const REPEATABLE = ['http-header', 'query-string'];

function checkValues(
  field: string,
  values: readonly (string | undefined)[] | undefined,
  pattern: RegExp,
): string[] {
  if (!values?.length) throw invalid(`A condition value must be specified for the field '${field}'`);
  return values.map((value = '') => {
    if (pattern.test(value)) return value;
    throw invalid(`The value '${value}' of the condition '${field}' is not valid`);
  });
}

function checkCidr(value: string): void {
  try {
    parseCidr(value);
  } catch {
    throw invalid(`The value '${value}' of the condition 'source-ip' is no CIDR block`);
  }
}

function refuseRegex(values: readonly unknown[] | undefined): void {
  if (values?.length) throw invalid('The lab has no regular expressions in conditions: use Values');
}

function readCondition(condition: RuleCondition): { condition: RuleCondition; values: string[] } {
  const { Field } = condition;
  refuseRegex(condition.RegexValues);
  switch (Field) {
    case 'host-header': {
      refuseRegex(condition.HostHeaderConfig?.RegexValues);
      const given = condition.HostHeaderConfig?.Values ?? condition.Values;
      const values = checkValues(Field, given, /^[\w.*?:-]{1,128}$/);
      return { condition: { Field, Values: values, HostHeaderConfig: { Values: values } }, values };
    }
    case 'path-pattern': {
      refuseRegex(condition.PathPatternConfig?.RegexValues);
      const given = condition.PathPatternConfig?.Values ?? condition.Values;
      const values = checkValues(Field, given, /^[\w.*?$/~"'@:+&()!,;=%-]{1,128}$/);
      return { condition: { Field, Values: values, PathPatternConfig: { Values: values } }, values };
    }
    case 'http-header': {
      refuseRegex(condition.HttpHeaderConfig?.RegexValues);
      const { HttpHeaderName, Values } = required(condition.HttpHeaderConfig, 'HttpHeaderConfig');
      if (!/^[\w!#$%&'*+.^`|~-]{1,40}$/.test(HttpHeaderName ?? '') || /^host$/i.test(HttpHeaderName!)) {
        throw invalid(`'${HttpHeaderName}' is no header that a condition can have`);
      }
      const values = checkValues(Field, Values, /^[\x20-\x7e]{1,128}$/);
      return { condition: { Field, HttpHeaderConfig: { HttpHeaderName, Values: values } }, values };
    }
    case 'query-string': {
      const { Values = [] } = required(condition.QueryStringConfig, 'QueryStringConfig');
      if (Values.length === 0) throw invalid(`A condition value must be specified for the field '${Field}'`);
      for (const { Key = '', Value } of Values) {
        if (Key.length > 128 || !Value || Value.length > 128) {
          throw invalid(`The query string condition '${Key}=${Value}' is not valid`);
        }
      }
      const pairs = Values.map(({ Key, Value }) => ({ ...(Key && { Key }), Value }));
      const values = Values.map(({ Key = '', Value = '' }) => Key + Value);
      return { condition: { Field, QueryStringConfig: { Values: pairs } }, values };
    }
    case 'http-request-method': {
      const given = condition.HttpRequestMethodConfig?.Values;
      const values = checkValues(Field, given, /^[A-Z_-]{1,40}$/);
      return {
        condition: { Field, HttpRequestMethodConfig: { Values: values } },
        values: values.map(() => ''),
      };
    }
    case 'source-ip': {
      const values = checkValues(Field, condition.SourceIpConfig?.Values, /^[0-9a-f.:/]+$/i);
      for (const value of values) checkCidr(value);
      return { condition: { Field, SourceIpConfig: { Values: values } }, values };
    }
    default:
      throw invalid(
        `Condition field '${Field}' must be one of '[path-pattern, host-header, http-header, http-request-method, query-string, source-ip]'`,
      );
  }
}

/**
 * Checks the conditions of a rule, and completes them: those of hosts and paths have their values twice, as AWS answers.
 * @throws {AwsError} ValidationError, InvalidConfigurationRequest for more values or wildcards than a rule has.
 */
export function readConditions(
  { quotas }: Context,
  conditions: readonly RuleCondition[] | undefined,
): RuleCondition[] {
  if (!conditions?.length) throw invalid('A condition must be specified');
  const read = conditions.map(readCondition);
  const fields = conditions.map(({ Field = '' }) => Field).filter((field) => !REPEATABLE.includes(field));
  const twice = fields.find((field, index) => fields.indexOf(field) !== index);
  if (twice !== undefined) throw invalid(`A rule can have one condition of the field '${twice}'`);
  const values = read.flatMap((each) => each.values);
  if (values.length > quotas.conditionValuesPerRule) {
    throw new AwsError(
      'InvalidConfigurationRequest',
      `A rule has at most ${quotas.conditionValuesPerRule} condition values; this one has ${values.length}`,
    );
  }
  const wildcards = values.join('').replace(/[^*?]/g, '').length;
  if (wildcards > quotas.conditionWildcardsPerRule) {
    throw new AwsError(
      'InvalidConfigurationRequest',
      `A rule has at most ${quotas.conditionWildcardsPerRule} wildcards; this one has ${wildcards}`,
    );
  }
  return read.map(({ condition }) => condition);
}
