/** What holds of whatever users write. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Ingress, keyOf } from '@enid/kube';
import fc from 'fast-check';
import { InvalidObject } from '../model/errors.ts';
import type { ActionSpec } from '../model/stack.ts';
import { PREFIX } from './groups.ts';
import { certificate, ingress, service, world } from './ingress.fixture.ts';
import { stackOfGroup } from './stack-of-group.ts';

/** Values that mean something, by annotation. */
const MEANT: Readonly<Record<string, readonly string[]>> = {
  'group.order': ['-1000', '7', '1001', 'x'],
  scheme: ['internal', 'internet-facing'],
  'load-balancer-name': ['front', 'internal-x'],
  'listen-ports': ['[{"HTTP": 80}]', '[{"HTTP": 80}, {"HTTPS": 443}]', '[{"HTTPS": 80}]', '[]', '[{}]'],
  'ssl-redirect': ['443', '80'],
  'certificate-arn': [certificate('one', []).arn, certificate('gone', []).arn],
  subnets: ['public-a,public-b', 'private-a'],
  'security-groups': ['sg-1', 'sg-9'],
  'manage-backend-security-group-rules': ['true', 'false'],
  'inbound-cidrs': ['10.0.0.0/8', '::/0', '10.0.0.1'],
  'target-type': ['ip', 'instance'],
  'backend-protocol': ['HTTP', 'https'],
  'backend-protocol-version': ['GRPC', 'HTTP2'],
  'healthcheck-port': ['traffic-port', 'named', '99999'],
  'healthcheck-interval-seconds': ['5', '15'],
  'healthcheck-timeout-seconds': ['5', '120'],
  'success-codes': ['200', '200-399,404'],
  'load-balancer-attributes': ['idle_timeout.timeout_seconds=60', 'x'],
  'target-group-attributes': ['stickiness.enabled=true', 'slow_start.duration_seconds=9999'],
  tags: ['team=a', 'team=b', 'aws:x=y'],
  'auth-type': ['none', 'oidc'],
  'actions.act': [
    '{"type":"fixed-response","fixedResponseConfig":{"statusCode":"200"}}',
    '{"Type":"redirect","RedirectConfig":{"Protocol":"HTTPS","StatusCode":"HTTP_301"}}',
    '{"type":"forward","forwardConfig":{"targetGroups":[{"serviceName":"web","servicePort":80,"weight":1},{"serviceName":"gone","servicePort":1,"weight":2}]}}',
  ],
  'conditions.web': [
    '[{"field":"source-ip","sourceIpConfig":{"values":["10.0.0.0/8","11.0.0.0/8","12.0.0.0/8","13.0.0.0/8"]}}]',
    '[{"field":"query-string","queryStringConfig":{"values":[{"value":"*"},{"value":"*??????"}]}}]',
    '[{"field":"http-header","httpHeaderConfig":{"httpHeaderName":"X","values":["a","b","c","d","e","f","g"]}}]',
  ],
};

const deep = '['.repeat(3000) + ']'.repeat(3000);
const anything = fc.oneof(
  fc.string(),
  fc.json(),
  fc.constantFrom('', ' ', deep, '{"__proto__":1}', '-1', 'true'),
);
const annotations = fc
  .array(
    fc
      .constantFrom(...Object.keys(MEANT))
      .chain((name) =>
        fc.tuple(
          fc.constant(name),
          fc.oneof(
            { weight: 4, arbitrary: fc.constantFrom(...MEANT[name]!) },
            { weight: 1, arbitrary: anything },
          ),
        ),
      ),
    { maxLength: 5 },
  )
  .map((entries) => Object.fromEntries(entries));
const path = fc.record({
  pathType: fc.constantFrom('Exact', 'Prefix', 'ImplementationSpecific'),
  path: fc.oneof(
    { weight: 5, arbitrary: fc.constantFrom('/', '/a', '/a/b', '/*', '/?*?*') },
    { weight: 1, arbitrary: fc.string() },
  ),
  backend: fc.constantFrom(
    { service: { name: 'web', port: { number: 80 } } },
    { service: { name: 'web', port: { name: 'named' } } },
    { service: { name: 'gone', port: { number: 80 } } },
    { service: { name: 'act', port: { name: 'use-annotation' } } },
    { service: { name: 'web' } },
    { resource: { kind: 'Bucket', name: 'b' } },
  ),
});
const rule = fc.record({
  host: fc.oneof(
    { weight: 5, arbitrary: fc.constantFrom(undefined, 'a.test', '*.test') },
    { weight: 1, arbitrary: fc.string() },
  ),
  http: fc.option(fc.record({ paths: fc.array(path, { maxLength: 4 }) }), { nil: undefined }),
});
const drawn = fc.record({
  annotations,
  rules: fc.array(rule, { maxLength: 3 }),
  ofService: annotations,
  age: fc.nat(3),
});

const LIMITS = { listeners: 2, rules: 8, targetGroups: 3, certificates: 1 };

const groupsOf = (actions: readonly ActionSpec[]) =>
  actions.flatMap((action) => (action.type === 'forward' ? action.targetGroups : []));

test('whatever Ingresses say, each is served or told of, and what is asked for is what AWS takes', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(drawn, { minLength: 1, maxLength: 4 }), async (all) => {
      const ingresses = all.map(({ annotations, rules, age }, index): Ingress => {
        const object = ingress(`ns${index}/web`, {
          annotations: { ...annotations, 'group.name': 'g' },
          metadata: { creationTimestamp: `2026-01-01T00:00:0${age}Z` },
        });
        object.spec!.rules = rules as never;
        return object;
      });
      const services = all.map(({ ofService }, index) =>
        service(`ns${index}/web`, ['named=80:8080:30080'], { annotations: ofService }),
      );
      const cluster = {
        services,
        account: {
          certificates: [certificate('one', ['a.test', '*.test'])],
          securityGroups: [{ id: 'sg-1', name: 'a', tags: {} }],
          limits: LIMITS,
        },
      };
      const id = { kind: 'ingress', group: 'g' } as const;
      const built = await stackOfGroup(id, world({ ...cluster, ingresses }));
      assert.deepEqual(
        await stackOfGroup(id, world({ ...cluster, ingresses: ingresses.toReversed() })).then(
          ({ stack }) => stack,
        ),
        built.stack,
        'in whatever order they come',
      );

      const told = new Set(built.problems.map(({ ingress }) => keyOf(ingress)));
      const served = new Set(built.members.map(keyOf));
      for (const object of ingresses) assert.ok(told.has(keyOf(object)) || served.has(keyOf(object)));
      for (const { error } of built.problems) {
        assert.ok(error instanceof InvalidObject);
        assert.match(error.message, /^(Ingress|Service) ns\d\/web: ./);
      }
      const { loadBalancer, targetGroups } = built.stack!;
      assert.equal(loadBalancer === undefined, served.size === 0);
      if (!loadBalancer) return;
      const { listeners } = loadBalancer;
      const rules = listeners.flatMap((listener) => listener.rules);
      assert.ok(listeners.length <= LIMITS.listeners && rules.length <= LIMITS.rules);
      for (const { conditions } of rules) {
        const values = conditions.flatMap((condition) =>
          condition.values.map((value) => JSON.stringify(value)),
        );
        assert.ok(values.length >= 1 && values.length <= 5);
        assert.ok(values.join('').replace(/[^*?]/g, '').length <= 6);
        const fields = conditions
          .map(({ field }) => field)
          .filter((field) => !/header$|query/.test(field) || field === 'host-header');
        assert.equal(new Set(fields).size, fields.length, 'AWS takes one condition of a field');
      }
      for (const { protocol, certificates } of listeners)
        assert.equal(protocol === 'HTTPS', certificates.length > 0);
      const forwards = groupsOf(
        listeners.flatMap((listener) => [
          ...listener.defaultActions,
          ...listener.rules.flatMap(({ actions }) => actions),
        ]),
      );
      const used = new Set(forwards.flatMap(({ group }) => ('id' in group ? [group.id] : [])));
      assert.deepEqual(
        used,
        new Set(targetGroups.map((group) => group.id)),
        'no group too many, and none missing',
      );
      assert.ok(targetGroups.length <= LIMITS.targetGroups);
      for (const { name } of [loadBalancer, ...targetGroups]) assert.match(name, /^[a-zA-Z0-9-]{1,32}$/);
    }),
    { numRuns: 400 },
  );
});

test('annotations of strange names and values are no more than strange', async () => {
  await fc.assert(
    fc.asyncProperty(fc.dictionary(fc.string(), anything), anything, async (strange, group) => {
      const object = ingress('shop/web', { rules: { '': ['/ web:80'] } });
      object.metadata!.annotations = {
        ...Object.fromEntries(Object.entries(strange).map(([name, value]) => [PREFIX + name, value])),
        [`${PREFIX}group.name`]: group,
      };
      const cluster = world({ ingresses: [object], services: [service('shop/web')] });
      const own = await stackOfGroup({ kind: 'ingress', namespace: 'shop', name: 'web' }, cluster);
      const named = await stackOfGroup({ kind: 'ingress', group: group.trim() }, cluster);
      const places = [own, named].filter(({ members, problems }) => members.length + problems.length > 0);
      assert.ok(places.length > 0);
    }),
    { numRuns: 300 },
  );
});
