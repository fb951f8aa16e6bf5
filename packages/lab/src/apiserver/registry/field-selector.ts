/** Field selectors (`spec.nodeName=a,status.phase!=Failed`), of the fields that the real server lets select. */
import { isFields, type StoredObject } from '../object.ts';
import { badRequest } from '../status.ts';
import type { Matcher } from './label-selector.ts';
import type { Resource } from './resource.ts';

const INVOLVED = ['kind', 'namespace', 'name', 'uid', 'apiVersion', 'resourceVersion', 'fieldPath'];

/** By storage. */
const FIELDS: Record<string, readonly string[]> = {
  pods: [
    'spec.nodeName',
    'spec.restartPolicy',
    'spec.schedulerName',
    'spec.serviceAccountName',
    'spec.hostNetwork',
    'status.phase',
    'status.podIP',
    'status.nominatedNodeName',
  ],
  nodes: ['spec.unschedulable'],
  namespaces: ['status.phase'],
  secrets: ['type'],
  services: ['spec.clusterIP', 'spec.type'],
  replicationcontrollers: ['status.replicas'],
  'replicasets.apps': ['status.replicas'],
  'jobs.batch': ['status.successful'],
  'certificatesigningrequests.certificates.k8s.io': ['spec.signerName'],
  events: [
    ...INVOLVED.map((name) => `involvedObject.${name}`),
    ...INVOLVED.map((name) => `regarding.${name}`),
    'reason',
    'reportingComponent',
    'source',
    'type',
  ],
};

/** Fields whose absence means something. */
const ABSENT: Record<string, string> = { 'spec.unschedulable': 'false', 'spec.hostNetwork': 'false' };

/** Where a field's value is, when that is not where its name says. */
const ALIAS: Record<string, string> = { source: 'source.component', 'status.successful': 'status.succeeded' };

/**
 * Reads a selector.
 * @returns whether an object matches; undefined when the selector is empty and matches all.
 * @throws {ApiError} BadRequest, also for a field that cannot select.
 */
export function parseFieldSelector(
  resource: Resource,
  text: string | null | undefined,
): Matcher<StoredObject> | undefined {
  if (!text?.trim()) return undefined;
  const known = new Set([
    'metadata.name',
    ...(FIELDS[resource.storage] ?? []),
    ...(resource.custom?.selectable ?? []),
  ]);
  if (resource.namespaced) known.add('metadata.namespace');
  const terms = text.split(/(?<!\\),/).filter((term) => term !== '');
  const requirements = terms.map((term) => {
    const match = /^([^=!]+)(==|=|!=)(.*)$/s.exec(term);
    if (!match) throw badRequest(`invalid field selector ${JSON.stringify(text)}: ${term} is no comparison`);
    const [, path, operator, escaped] = match;
    if (!known.has(path!)) {
      throw badRequest(
        `Unable to find "${resource.group}/${resource.version}, Resource=${resource.plural}" that match ` +
          `label selector "", field selector ${JSON.stringify(text)}: field label not supported: ${path}`,
      );
    }
    const wanted = escaped!.replace(/\\(.)/g, '$1');
    const place = (ALIAS[path!] ?? path!).replace(/^regarding\./, 'involvedObject.').split('.');
    const absent = ABSENT[path!] ?? (path === 'status.successful' ? '0' : '');
    return (object: StoredObject) => (textAt(object, place, absent) === wanted) === (operator !== '!=');
  });
  return (object) => requirements.every((matches) => matches(object));
}

function textAt(object: StoredObject, path: readonly string[], absent: string): string {
  let value: unknown = object;
  for (const name of path) value = isFields(value) ? value[name] : undefined;
  return value === undefined || value === null ? absent : String(value);
}
