/** The annotation `actions.<name>`: what is done with requests of the backend `<name>`, whose port is `use-annotation`. */
import { z } from 'zod';
import type { Annotations } from '../annotations.ts';
import type { ActionSpec } from '../model/stack.ts';
import { anyCase, textOrNumber } from './json-keys.ts';

/** What requests are forwarded to, before it is known whether there is such a Service. */
export type ForwardTarget = { readonly weight?: number } & (
  | { readonly service: string; readonly port: number | string }
  | { readonly arn: string }
  | { readonly targetGroup: string }
);

export type Forward = {
  readonly type: 'forward';
  readonly targets: readonly ForwardTarget[];
  readonly stickinessSeconds?: number;
};

export type Action = Forward | Exclude<ActionSpec, { type: 'forward' }>;

/** The port's name by which a backend stands for an annotation. */
export const USE_ANNOTATION = 'use-annotation';

const TARGET_GROUP_ARN = /^arn:[\w-]+:elasticloadbalancing:[\w-]+:\d{12}:targetgroup\/\S+$/;
const arn = z.string().regex(TARGET_GROUP_ARN, 'it is not the ARN of a target group');
const TARGET = z.object({
  targetGroupARN: arn.optional(),
  targetGroupName: z.string().min(1).optional(),
  serviceName: z.string().min(1).optional(),
  servicePort: textOrNumber.optional(),
  weight: z.number().int().min(0).max(999).optional(),
});

const SCHEMA = anyCase(
  [
    'type',
    'targetGroupARN',
    'targetGroupName',
    'forwardConfig',
    'targetGroups',
    'serviceName',
    'servicePort',
    'weight',
    'targetGroupStickinessConfig',
    'enabled',
    'durationSeconds',
    'redirectConfig',
    'protocol',
    'port',
    'host',
    'path',
    'query',
    'statusCode',
    'fixedResponseConfig',
    'contentType',
    'messageBody',
  ],
  z.discriminatedUnion('type', [
    z.object({
      type: z.literal('forward'),
      targetGroupARN: arn.optional(),
      targetGroupName: z.string().min(1).optional(),
      forwardConfig: z
        .object({
          targetGroups: z.array(TARGET).min(1).max(5),
          targetGroupStickinessConfig: z
            .object({
              enabled: z.boolean().optional(),
              durationSeconds: z.number().int().min(1).max(604_800).optional(),
            })
            .optional(),
        })
        .optional(),
    }),
    z.object({
      type: z.literal('redirect'),
      redirectConfig: z.object({
        protocol: z.enum(['HTTP', 'HTTPS', '#{protocol}']).optional(),
        port: textOrNumber
          .refine(
            (port) =>
              port === '#{port}' || (/^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535),
            {
              error: 'it may be 1 to 65535, or #{port}',
            },
          )
          .optional(),
        host: z.string().min(1).max(128).optional(),
        path: z.string().max(128).startsWith('/').optional(),
        query: z.string().max(128).optional(),
        statusCode: z.enum(['HTTP_301', 'HTTP_302']),
      }),
    }),
    z.object({
      type: z.literal('fixed-response'),
      fixedResponseConfig: z.object({
        statusCode: textOrNumber.refine((code) => /^[245]\d\d$/.test(code), {
          error: 'it may be 2XX, 4XX or 5XX',
        }),
        contentType: z
          .enum(['text/plain', 'text/css', 'text/html', 'application/javascript', 'application/json'])
          .optional(),
        messageBody: z.string().max(1024).optional(),
      }),
    }),
  ]),
);

/** @returns undefined when there is no such annotation. @throws {InvalidObject} */
export function readAction(annotations: Annotations, backend: string): Action | undefined {
  const name = `actions.${backend}`;
  const action = annotations.json(name, SCHEMA);
  if (!action) return undefined;
  if (action.type === 'redirect') return { type: 'redirect', ...present(action.redirectConfig) };
  if (action.type === 'fixed-response')
    return { type: 'fixed-response', ...present(action.fixedResponseConfig) };
  const { targetGroupARN, targetGroupName, forwardConfig } = action;
  const refuse = (message: string): never => annotations.refuse(name, message);
  const groups: readonly z.infer<typeof TARGET>[] = forwardConfig?.targetGroups ?? [
    { targetGroupARN, targetGroupName },
  ];
  if (forwardConfig && (targetGroupARN ?? targetGroupName))
    refuse('has forwardConfig and a target group beside it: it may have one of them');
  const targets = groups.map((group): ForwardTarget => {
    const { weight, serviceName, servicePort, targetGroupARN: arn, targetGroupName: targetGroup } = group;
    if (groups.length > 1 && weight === undefined)
      refuse('has several target groups: each needs a weight from 0 to 999');
    const weighted = weight === undefined ? {} : { weight };
    if ([serviceName, arn, targetGroup].filter((given) => given !== undefined).length !== 1)
      refuse('has a target without one of serviceName, targetGroupARN and targetGroupName');
    if (arn !== undefined) return { arn, ...weighted };
    if (targetGroup !== undefined) return { targetGroup, ...weighted };
    if (servicePort === undefined) refuse(`has no servicePort for Service ${serviceName}`);
    return {
      service: serviceName!,
      port: /^\d+$/.test(servicePort!) ? Number(servicePort) : servicePort!,
      ...weighted,
    };
  });
  const { enabled, durationSeconds } = forwardConfig?.targetGroupStickinessConfig ?? {};
  if (enabled && durationSeconds === undefined)
    refuse('has stickiness without durationSeconds: it may be 1 to 604800');
  return { type: 'forward', targets, ...(enabled && { stickinessSeconds: durationSeconds! }) };
}

/** Without keys that are undefined. */
function present<T extends object>(object: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as never;
}
