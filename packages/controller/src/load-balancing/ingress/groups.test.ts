import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Ingress, keyOf } from '@enid/kube';
import { stackName } from '../model/identity.ts';
import { finalizerOf, formerStackIds, membersOf, stackIdOf } from './groups.ts';
import { type Cluster, classParams, ingress, ingressClass, world } from './ingress.fixture.ts';

const OWN = 'ingress.k8s.aws/resources';
const shop = (short = {}) => ingress('shop/web', short);
const group = (name: string) => ({ kind: 'ingress', group: name }) as const;

function stackOf(object: Ingress, cluster: Cluster = {}): string | undefined {
  const id = stackIdOf(object, world(cluster));
  return id && stackName(id);
}

test('an Ingress is ours by the controller of its class, or by the annotation that is older than classes', () => {
  const classes = [ingressClass('alb'), ingressClass('nginx', undefined, 'k8s.io/ingress-nginx')];
  const annotated = (value: string, className: string | null) =>
    shop({ className, metadata: { annotations: { 'kubernetes.io/ingress.class': value } } });
  assert.equal(stackOf(shop(), { classes }), 'shop/web');
  assert.equal(stackOf(shop({ className: 'nginx' }), { classes }), undefined);
  assert.equal(stackOf(shop({ className: 'missing' }), { classes }), undefined);
  assert.equal(stackOf(shop({ className: null }), { classes }), undefined);
  assert.equal(stackOf(annotated('alb', null), { classes }), 'shop/web');
  assert.equal(stackOf(annotated('nginx', 'alb'), { classes }), undefined, 'the annotation wins');
  const going = shop({ metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } });
  assert.equal(stackOf(going, { classes }), undefined);
});

test('an Ingress is a group of itself, or of the group that it, or first its class, names', () => {
  const named = shop({ annotations: { 'group.name': 'front.door' } });
  assert.equal(stackOf(named), 'front.door');
  const classes = [ingressClass('alb', 'params')];
  const params = [classParams('params', { group: { name: 'of-class' } })];
  assert.equal(stackOf(named, { classes, params }), 'of-class');
});

test('a group that cannot be, and a class whose parameters are not there, are told', () => {
  for (const name of ['Upper', '-a', 'a-', 'a_b', 'a'.repeat(64)]) {
    assert.throws(
      () => stackOf(shop({ annotations: { 'group.name': name } })),
      /Ingress shop\/web: annotation alb\.ingress\.kubernetes\.io\/group\.name is/,
    );
  }
  assert.throws(
    () => stackOf(shop(), { classes: [ingressClass('alb', 'none')] }),
    /Ingress shop\/web: its IngressClass alb names IngressClassParams none, which does not exist/,
  );
  const wrong = ingressClass('alb');
  wrong.spec!.parameters = { kind: 'ConfigMap', name: 'x' };
  assert.throws(() => stackOf(shop(), { classes: [wrong] }), /parameters of kind ConfigMap/);
});

test('a class is for the namespaces that its parameters select', () => {
  const cluster = {
    classes: [ingressClass('alb', 'params')],
    params: [classParams('params', { namespaceSelector: { matchLabels: { team: 'a' } } })],
  };
  assert.equal(stackOf(shop(), { ...cluster, namespaces: { shop: { team: 'a' } } }), 'shop/web');
  assert.throws(
    () => stackOf(shop(), { ...cluster, namespaces: { shop: { team: 'b' } } }),
    /is not for namespace shop/,
  );
});

test('the members of a group come by group.order, then by namespace and name, across namespaces', () => {
  const member = (key: string, order?: string) =>
    ingress(key, { annotations: { 'group.name': 'g', ...(order && { 'group.order': order }) } });
  const ingresses = [
    member('b/a'),
    member('a/z'),
    member('a/b', '1000'),
    member('c/c', '-1000'),
    member('a/c', '10'),
    ingress('a/alone'),
  ];
  const found = membersOf(group('g'), world({ ingresses }));
  assert.deepEqual(
    found.members.map((each) => keyOf(each.ingress)),
    ['c/c', 'a/z', 'b/a', 'a/c', 'a/b'],
  );
  assert.deepEqual([found.problems, found.leaving], [[], []]);
});

test('an order out of range is a problem of its Ingress alone', () => {
  const member = (key: string, order: string) =>
    ingress(key, { annotations: { 'group.name': 'g', 'group.order': order } });
  const ingresses = [member('a/a', '1001'), member('a/b', '1'), member('a/c', 'first')];
  const { members, problems } = membersOf(group('g'), world({ ingresses }));
  assert.deepEqual(
    members.map((each) => keyOf(each.ingress)),
    ['a/b'],
  );
  assert.deepEqual(
    problems.map(({ error }) => error.object),
    ['Ingress a/a', 'Ingress a/c'],
  );
  assert.match(problems[0]!.error.message, /group\.order is "1001": .* from -1000 to 1000/);
});

test('finalizers say what an Ingress has been part of: it leaves that when it goes elsewhere', () => {
  const metadata = { finalizers: ['other', OWN, 'group.ingress.k8s.aws/old'] };
  const moved = shop({ annotations: { 'group.name': 'new' }, metadata });
  assert.deepEqual(formerStackIds(moved).map(stackName), ['shop/web', 'old']);
  assert.deepEqual(formerStackIds(moved).map(finalizerOf), [OWN, 'group.ingress.k8s.aws/old']);
  const cluster = world({ ingresses: [moved] });
  for (const id of formerStackIds(moved)) {
    assert.deepEqual(membersOf(id, cluster), { members: [], problems: [], leaving: [moved] });
  }
  assert.equal(membersOf(group('new'), cluster).members.length, 1);
});

test('an Ingress whose class is broken does not leave: its load balancer is not to go by a slip', () => {
  const kept = shop({ metadata: { finalizers: [OWN] } });
  for (const classes of [[], [ingressClass('alb', 'gone')]]) {
    const found = membersOf(formerStackIds(kept)[0]!, world({ ingresses: [kept], classes }));
    assert.deepEqual([found.members, found.leaving], [[], []]);
    assert.match(found.problems[0]!.error.message, /does not exist/);
  }
});
