/** The annotation `conditions.<backend>`: what must hold of a request beside its host and path. */
import { AddressError, parseCidr } from '@enid/ip';
import { z } from 'zod';
import type { Annotations } from '../annotations.ts';
import type { ConditionSpec } from '../model/stack.ts';
import { anyCase } from './json-keys.ts';
import { PATH_PATTERN } from './paths.ts';

export const HOST_PATTERN = /^[\w.*?:-]{1,128}$/;

const values = (pattern: RegExp, what: string) =>
  z
    .array(
      z
        .string()
        .refine((value) => pattern.test(value), { error: ({ input }) => `"${input}" is not ${what}` }),
    )
    .min(1);
const cidr = z.string().refine(
  (text) => {
    try {
      return Boolean(parseCidr(text));
    } catch (error) {
      if (error instanceof AddressError) return false;
      throw error;
    }
  },
  { error: ({ input }) => `"${input}" is no address block such as 10.0.0.0/16` },
);
const pair = z.object({ key: z.string().max(128).optional(), value: z.string().min(1).max(128) });
const of = <Values extends z.ZodType>(list: Values) => z.object({ values: list });

const CONDITION = z.discriminatedUnion('field', [
  z.object({
    field: z.literal('host-header'),
    hostHeaderConfig: of(values(HOST_PATTERN, 'a host, which may have the wildcards * and ?')),
  }),
  z.object({
    field: z.literal('path-pattern'),
    pathPatternConfig: of(values(PATH_PATTERN, 'a path, which may have the wildcards * and ?')),
  }),
  z.object({
    field: z.literal('http-header'),
    httpHeaderConfig: of(values(/^[\x20-\x7e]{1,128}$/, 'what a header may be')).extend({
      httpHeaderName: z.string().regex(/^(?!host$)[\w!#$%&'*+.^`|~-]{1,40}$/i, 'it is no header to match by'),
    }),
  }),
  z.object({
    field: z.literal('http-request-method'),
    httpRequestMethodConfig: of(values(/^[A-Z_-]{1,40}$/, 'a method in capital letters')),
  }),
  z.object({ field: z.literal('query-string'), queryStringConfig: of(z.array(pair).min(1)) }),
  z.object({ field: z.literal('source-ip'), sourceIpConfig: of(z.array(cidr).min(1)) }),
]);

const SCHEMA = anyCase(
  [
    'field',
    'hostHeaderConfig',
    'pathPatternConfig',
    'httpHeaderConfig',
    'httpHeaderName',
    'httpRequestMethodConfig',
    'queryStringConfig',
    'sourceIpConfig',
    'values',
    'regexValues',
    'key',
    'value',
  ],
  z.array(CONDITION),
);

/** Fields of which a rule may have several conditions. Those of the others are one, with the values of all. */
const REPEATABLE = ['http-header', 'query-string'];

/**
 * @param backend the name of the Service, or of the action, that the annotation is for.
 * @throws {InvalidObject}
 */
export function readConditions(annotations: Annotations, backend: string): ConditionSpec[] {
  const name = `conditions.${backend}`;
  if (/"regexValues"/i.test(annotations.text(name) ?? ''))
    annotations.refuse(
      name,
      'has regexValues, which is not supported: values may have the wildcards * and ?',
    );
  const conditions = (annotations.json(name, SCHEMA) ?? []).map(toSpec);
  for (const [index, { field }] of conditions.entries()) {
    if (REPEATABLE.includes(field) || conditions.findIndex((other) => other.field === field) === index)
      continue;
    annotations.refuse(name, `has ${field} twice: a rule has one, which may have several values`);
  }
  return conditions;
}

function toSpec(condition: z.infer<typeof CONDITION>): ConditionSpec {
  const { field } = condition;
  switch (field) {
    case 'host-header':
      return { field, values: condition.hostHeaderConfig.values };
    case 'path-pattern':
      return { field, values: condition.pathPatternConfig.values };
    case 'http-request-method':
      return { field, values: condition.httpRequestMethodConfig.values };
    case 'source-ip':
      return { field, values: condition.sourceIpConfig.values };
    case 'http-header': {
      const { httpHeaderName, values } = condition.httpHeaderConfig;
      return { field, name: httpHeaderName, values };
    }
    case 'query-string': {
      const values = condition.queryStringConfig.values.map(({ key, value }) => ({
        ...(key && { key }),
        value,
      }));
      return { field, values };
    }
  }
}
