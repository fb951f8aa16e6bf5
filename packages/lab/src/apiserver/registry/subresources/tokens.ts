/** `serviceaccounts/token`: a token for whoever runs as the service account (`authentication.k8s.io/v1` TokenRequest). */
import { type Bound, ISSUER, type ServiceAccountTokens } from '../../auth/service-account-token.ts';
import { type Fields, timestamp } from '../../object.ts';
import { badRequest, field, invalid } from '../../status.ts';
import type { Target } from '../call.ts';
import { getObject } from '../reads.ts';
import type { Cluster } from '../strategy.ts';

const SHORTEST = 600;
const USUAL = 3600;
const LONGEST = 2 ** 32;

type Spec = {
  audiences?: string[];
  expirationSeconds?: number;
  boundObjectRef?: { kind?: string; name?: string; uid?: string };
};

/** @throws {ApiError} NotFound, Invalid. */
export function requestToken(
  cluster: Cluster,
  tokens: ServiceAccountTokens,
  target: Target,
  body: Fields,
): Fields {
  const account = getObject(cluster.store, target);
  const spec = (body.spec ?? {}) as Spec;
  const seconds = spec.expirationSeconds ?? USUAL;
  if (!(Number.isSafeInteger(seconds) && seconds >= SHORTEST && seconds <= LONGEST)) {
    const why = 'may not specify a duration less than 10 minutes';
    throw invalid({ group: 'authentication.k8s.io', kind: 'TokenRequest' }, target.name, [
      field.invalid('spec.expirationSeconds', seconds, why),
    ]);
  }
  const audiences = spec.audiences?.length ? spec.audiences : [ISSUER];
  const pod = bound(cluster, target.namespace, spec);
  const issued = Math.floor(cluster.now() / 1000);
  const { name, uid } = account.metadata;
  const token = tokens.issue({
    iss: ISSUER,
    sub: `system:serviceaccount:${target.namespace}:${name}`,
    aud: audiences,
    iat: issued,
    nbf: issued,
    exp: issued + seconds,
    'kubernetes.io': { namespace: target.namespace, serviceaccount: { name, uid }, ...pod },
  });
  return {
    kind: 'TokenRequest',
    apiVersion: 'authentication.k8s.io/v1',
    metadata: { name, namespace: target.namespace, creationTimestamp: timestamp(cluster.now()) },
    spec: { ...spec, audiences, expirationSeconds: seconds, boundObjectRef: spec.boundObjectRef ?? null },
    status: { token, expirationTimestamp: timestamp((issued + seconds) * 1000) },
  };
}

function bound(cluster: Cluster, namespace: string, { boundObjectRef }: Spec): { pod?: Bound; node?: Bound } {
  if (!boundObjectRef) return {};
  const { kind, name = '', uid } = boundObjectRef;
  if (kind !== 'Pod') throw badRequest(`cannot bind token to object of kind ${kind}: only Pod is supported`);
  const pod = cluster.store.get('pods', `${namespace}/${name}`);
  if (!pod || (uid && uid !== pod.metadata.uid))
    throw badRequest(`cannot bind token to pod ${name}: there is no such pod`);
  const node = cluster.store.get('nodes', `/${pod.spec?.nodeName}`);
  return {
    pod: { name, uid: pod.metadata.uid },
    ...(node && { node: { name: node.metadata.name, uid: node.metadata.uid } }),
  };
}
