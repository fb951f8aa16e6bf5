/** The numbers of all messages that a client may send. */
import { ACCESS } from './access.ts';
import { CLUSTER } from './cluster.ts';
import { CORE } from './core.ts';
import { DEFINITIONS } from './definitions.ts';
import { META } from './meta.ts';
import { NETWORK } from './network.ts';
import { type Field, type Numbers, readNumbers } from './notation.ts';
import { PODS } from './pods.ts';
import { VOLUMES } from './volumes.ts';
import { WEBHOOKS } from './webhooks.ts';
import { WORKLOADS } from './workloads.ts';

export type { Field } from './notation.ts';

const ALL: Numbers = {
  ...META,
  ...CORE,
  ...PODS,
  ...VOLUMES,
  ...WORKLOADS,
  ...ACCESS,
  ...NETWORK,
  ...CLUSTER,
  ...DEFINITIONS,
  ...WEBHOOKS,
};
const read = new Map<string, ReadonlyMap<number, Field>>();

/** What a model's message is called here: `PodSpec` of `V1PodSpec`, but `CoreV1Event`, of which name there are two. */
export function messageOf(model: string): string {
  return model.replace(/^V1(?=[A-Z])/, '');
}

/** The fields of a message by number; undefined: there is no such message. */
export function fieldsOf(message: string): ReadonlyMap<number, Field> | undefined {
  let fields = read.get(message);
  if (!fields && Object.hasOwn(ALL, message)) {
    fields = readNumbers(ALL[message]!);
    read.set(message, fields);
  }
  return fields;
}
