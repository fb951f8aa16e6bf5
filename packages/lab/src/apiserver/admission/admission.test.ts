/** What webhooks are asked, what they can do to a write, and what becomes of it when they cannot be asked. */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { startTestApiServer, type TestAnswer, type TestApiServer } from '../apiserver.fixture.ts';
import type { Fields } from '../object.ts';
import { type Asked, patching, respond, startWebhook, type TestWebhook } from './webhook.fixture.ts';

const CONFIGURATIONS = '/apis/admissionregistration.k8s.io/v1';
const MAPS = '/api/v1/namespaces/default/configmaps';
const PODS = '/api/v1/namespaces/default/pods';
const MAP_RULE = { operations: ['*'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'] };

let server: TestApiServer;
let webhook: TestWebhook;
let caBundle: string;

before(async () => {
  server = await startTestApiServer();
  const { authority } = server.pki;
  webhook = await startWebhook(await authority.issueServer(['hook.tools.svc', 'localhost']));
  caBundle = Buffer.from(authority.certificate).toString('base64');
  await server.must('POST /api/v1/namespaces', { metadata: { name: 'tools', labels: { team: 'tools' } } });
  await server.must('POST /api/v1/namespaces/tools/services', {
    metadata: { name: 'hook' },
    spec: { ports: [{ name: 'https', port: 443, targetPort: webhook.port }] },
  });
  await server.must('POST /apis/discovery.k8s.io/v1/namespaces/tools/endpointslices', {
    metadata: { name: 'hook-1', labels: { 'kubernetes.io/service-name': 'hook' } },
    addressType: 'IPv4',
    endpoints: [
      { addresses: ['127.0.0.9'], conditions: { ready: false } },
      { addresses: ['127.0.0.1'], conditions: { ready: true } },
    ],
    ports: [{ name: 'https', port: webhook.port, protocol: 'TCP' }],
  });
  for (const namespace of ['default', 'tools']) {
    await server.must(`POST /api/v1/namespaces/${namespace}/serviceaccounts`, {
      metadata: { name: 'default' },
    });
  }
});
after(async () => {
  webhook.stop();
  await server.stop();
});
afterEach(async () => {
  for (const kind of ['mutating', 'validating'])
    await server.must(`DELETE ${CONFIGURATIONS}/${kind}webhookconfigurations`);
  webhook.asked.length = 0;
});

type Kind = 'Mutating' | 'Validating';

/** A webhook of its own path, behind the Service when nothing else is said. */
async function configure(kind: Kind, name: string, more: Fields = {}): Promise<void> {
  const service = { namespace: 'tools', name: 'hook', path: `/${name}` };
  await server.must(`POST ${CONFIGURATIONS}/${kind.toLowerCase()}webhookconfigurations`, {
    metadata: { name },
    webhooks: [
      {
        name: `${name}.enid.test`,
        admissionReviewVersions: ['v1'],
        sideEffects: 'None',
        clientConfig: { service, caBundle },
        rules: [MAP_RULE],
        ...more,
      },
    ],
  });
}

const map = (name: string, more: Fields = {}) => ({ metadata: { name, ...more } });
const asked = (): Asked[] => webhook.asked.map(({ request }) => request);

function assertRefused({ code, body }: TestAnswer, wanted: number, message: RegExp): void {
  assert.equal(code, wanted, body.message);
  assert.equal(body.status, 'Failure');
  assert.match(body.message, message);
}

describe('a review', () => {
  it('says who wants to do what with which object', async () => {
    await configure('Validating', 'sees');
    const created = await server.must(`POST ${MAPS}?fieldManager=me`, map('seen', { labels: { a: 'b' } }));
    await server.must(
      `PATCH ${MAPS}/seen?dryRun=All`,
      { data: { k: 'v' } },
      {
        'content-type': 'application/merge-patch+json',
      },
    );
    await server.must(`DELETE ${MAPS}/seen?gracePeriodSeconds=0`);
    const [create, update, remove] = asked();
    const gvr = { group: '', version: 'v1', resource: 'configmaps' };
    const gvk = { group: '', version: 'v1', kind: 'ConfigMap' };
    for (const request of [create, update, remove]) {
      assert.deepEqual([request.kind, request.resource, request.requestResource], [gvk, gvr, gvr]);
      assert.deepEqual([request.namespace, request.name], ['default', 'seen']);
      assert.equal(request.userInfo.username, 'admin');
      assert.ok(request.userInfo.groups.includes('system:authenticated'));
    }
    assert.deepEqual([create.operation, create.oldObject, create.dryRun], ['CREATE', null, false]);
    assert.equal(create.object.metadata.uid, created.metadata.uid);
    assert.deepEqual([create.options.kind, create.options.fieldManager], ['CreateOptions', 'me']);
    assert.deepEqual([update.operation, update.object.data, update.dryRun], ['UPDATE', { k: 'v' }, true]);
    assert.equal(update.oldObject.data, undefined);
    assert.deepEqual(update.options.dryRun, ['All']);
    assert.deepEqual([remove.operation, remove.object], ['DELETE', null]);
    assert.equal(remove.oldObject.metadata.uid, created.metadata.uid);
    assert.equal(remove.options.kind, 'DeleteOptions');
  });

  it('is asked for by operation, group, version, resource, subresource and scope', async () => {
    const rule = (more: Fields) => ({ rules: [{ ...MAP_RULE, ...more }] });
    await configure('Validating', 'creations', rule({ operations: ['CREATE'] }));
    await configure('Validating', 'others', rule({ resources: ['secrets', 'configmaps/status'] }));
    await configure('Validating', 'apps', rule({ apiGroups: ['apps'], resources: ['*/*'] }));
    await configure('Validating', 'cluster', rule({ resources: ['*'], scope: 'Cluster' }));
    await server.must(`POST ${MAPS}`, map('ruled'));
    await server.must(`DELETE ${MAPS}/ruled`);
    await server.must('POST /apis/apps/v1/namespaces/default/deployments', {
      metadata: { name: 'web' },
      spec: {
        selector: { matchLabels: { a: 'b' } },
        template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } },
      },
    });
    await server.must('PUT /apis/apps/v1/namespaces/default/deployments/web/scale', {
      metadata: { name: 'web' },
      spec: { replicas: 0 },
    });
    await server.must('POST /api/v1/namespaces', map('ruled'));
    const paths = webhook.asked.map(({ path, request }) => `${path} ${request.subResource ?? ''}`.trim());
    assert.deepEqual(paths, ['/creations', '/apps', '/apps scale', '/cluster']);
    const { kind, object, oldObject } = asked()[2];
    assert.deepEqual(kind, { group: 'autoscaling', version: 'v1', kind: 'Scale' });
    assert.deepEqual([oldObject.spec.replicas, object.spec.replicas], [1, 0]);
  });

  it('is asked for by the labels of the namespace and of the object, as it is or was', async () => {
    await configure('Validating', 'team', { namespaceSelector: { matchLabels: { team: 'tools' } } });
    await configure('Validating', 'marked', {
      objectSelector: { matchExpressions: [{ key: 'mark', operator: 'Exists' }] },
    });
    await server.must(`POST ${MAPS}`, map('plain'));
    await server.must('POST /api/v1/namespaces/tools/configmaps', map('plain'));
    await server.must(`POST ${MAPS}`, map('marked', { labels: { mark: '' } }));
    await server.must(`PUT ${MAPS}/marked`, map('marked'));
    await server.must(`PUT ${MAPS}/marked`, map('marked'));
    const seen = webhook.asked.map(
      ({ path, request }) => `${path} ${request.operation} ${request.namespace}`,
    );
    assert.deepEqual(seen, ['/team CREATE tools', '/marked CREATE default', '/marked UPDATE default']);
  });

  it('shows the version that the webhook knows, unless it wants exactly that', async () => {
    const versions = ['v1', 'v2'].map((name) => ({
      name,
      served: true,
      storage: name === 'v1',
      schema: { openAPIV3Schema: { type: 'object', properties: { color: { type: 'string' } } } },
    }));
    await server.must('POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions', {
      metadata: { name: 'paints.enid.test' },
      spec: { group: 'enid.test', scope: 'Cluster', names: { plural: 'paints', kind: 'Paint' }, versions },
    });
    const rules = [
      { operations: ['*'], apiGroups: ['enid.test'], apiVersions: ['v1'], resources: ['paints'] },
    ];
    await configure('Mutating', 'equivalent', { rules });
    await configure('Mutating', 'exact', { rules, matchPolicy: 'Exact' });
    webhook.answer('/equivalent', patching({ op: 'add', path: '/color', value: 'red' }));
    const paint = await server.must('POST /apis/enid.test/v2/paints', map('p'));
    assert.deepEqual([paint.apiVersion, paint.color], ['enid.test/v2', 'red']);
    const [request, ...others] = asked();
    assert.equal(others.length, 0);
    assert.deepEqual([request.kind.version, request.requestKind.version], ['v1', 'v2']);
    assert.equal(request.object.apiVersion, 'enid.test/v1');
  });

  it('is held of acts too: bindings, evictions, tokens, connections', async () => {
    await server.must(`POST ${PODS}`, { ...map('acted'), spec: { containers: [{ name: 'c', image: 'i' }] } });
    await configure('Validating', 'acts', {
      rules: [{ ...MAP_RULE, apiVersions: ['*'], resources: ['pods/*', 'serviceaccounts/token'] }],
    });
    webhook.answer('/acts', ({ request, ...review }) =>
      respond({ request, ...review }, { allowed: false, status: { message: `no ${request.kind.kind}` } }),
    );
    const acts: [what: string, body: Fields | undefined, kind: string][] = [
      [`POST ${PODS}/acted/binding`, { target: { name: 'n1' } }, 'Binding'],
      [`POST ${PODS}/acted/eviction`, map('acted'), 'Eviction'],
      ['POST /api/v1/namespaces/default/serviceaccounts/default/token', {}, 'TokenRequest'],
      [`POST ${PODS}/acted/exec?command=id&container=c&stdout=true`, undefined, 'PodExecOptions'],
    ];
    for (const [what, body, kind] of acts) {
      assertRefused(await server.send(what, { body }), 400, new RegExp(`denied the request: no ${kind}$`));
    }
    const { operation, object } = asked()[3];
    assert.deepEqual([operation, object.command, object.container], ['CONNECT', ['id'], 'c']);
    assert.equal((await server.must(`${PODS}/acted`)).spec.nodeName, undefined);
  });

  it('is never held of the configurations themselves', async () => {
    const rules = [{ operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*'] }];
    await configure('Validating', 'all', { rules });
    webhook.answer('/all', { allowed: false });
    await server.must(`DELETE ${CONFIGURATIONS}/validatingwebhookconfigurations/all`);
    await server.must(`POST ${MAPS}`, map('free'));
    assert.equal(webhook.asked.length, 0);
  });
});

describe('a mutating webhook', () => {
  it('changes what is stored, and what it adds is completed like what a client sends', async () => {
    await configure('Mutating', 'sidecar', { rules: [{ ...MAP_RULE, resources: ['pods'] }] });
    webhook.answer('/sidecar', (review) => {
      const { spec, metadata } = review.request.object;
      // It sees what the server's own admission has added, and no name that is yet to be made.
      assert.equal(metadata.name, undefined);
      assert.equal(spec.containers[0].volumeMounts.length, 1);
      return respond(
        review,
        patching(
          { op: 'add', path: '/spec/containers/-', value: { name: 'proxy', image: 'proxy', nonsense: 1 } },
          { op: 'add', path: '/spec/readinessGates', value: [{ conditionType: 'enid.test/gate' }] },
          { op: 'add', path: '/metadata/labels', value: { injected: 'yes' } },
        ),
      );
    });
    const pod = await server.must(`POST ${PODS}`, {
      metadata: { generateName: 'with-sidecar-' },
      spec: { containers: [{ name: 'c', image: 'i' }] },
    });
    const [, sidecar] = pod.spec.containers;
    assert.deepEqual(
      [sidecar.name, sidecar.imagePullPolicy, sidecar.nonsense],
      ['proxy', 'Always', undefined],
    );
    assert.deepEqual(pod.spec.readinessGates, [{ conditionType: 'enid.test/gate' }]);
    assert.deepEqual(pod.metadata.labels, { injected: 'yes' });
    const [volume, ...others] = pod.spec.volumes;
    assert.equal(others.length, 0);
    assert.equal(sidecar.volumeMounts[0].name, volume.name);
  });

  it('is asked after those before it by name, and again if it wants to see what came after it', async () => {
    const add = (key: string) => (review: Asked) => {
      const data = review.request.object.data ?? {};
      return respond(
        review,
        patching({ op: 'add', path: '/data', value: { ...data, [key]: Object.keys(data).join() } }),
      );
    };
    await configure('Mutating', 'b');
    await configure('Mutating', 'a', { reinvocationPolicy: 'IfNeeded' });
    webhook.answer('/a', add('a'));
    webhook.answer('/b', add('b'));
    const { data } = await server.must(`POST ${MAPS}`, map('ordered'));
    assert.deepEqual(data, { a: 'a,b', b: 'a' });
    assert.deepEqual(
      webhook.asked.map(({ path }) => path),
      ['/a', '/b', '/a'],
    );
  });

  it('has its work validated', async () => {
    await configure('Mutating', 'spoils');
    webhook.answer('/spoils', patching({ op: 'add', path: '/data', value: { 'no key': '' } }));
    assertRefused(await server.send(`POST ${MAPS}`, { body: map('spoilt') }), 422, /data\[no key\]/);
    webhook.answer('/spoils', patching({ op: 'remove', path: '/nowhere' }));
    const answer = await server.send(`POST ${MAPS}`, { body: map('spoilt') });
    assertRefused(answer, 500, /"spoils.enid.test" answered with a patch that does not apply: .*nowhere/);
  });
});

describe('a webhook', () => {
  it('refuses in its own words, with its own status', async () => {
    await configure('Validating', 'no');
    const create = () => server.send(`POST ${MAPS}`, { body: map('refused') });
    webhook.answer('/no', {
      allowed: false,
      status: { code: 403, reason: 'Forbidden', message: 'not on Sundays' },
    });
    const refused = await create();
    assertRefused(refused, 403, /^admission webhook "no.enid.test" denied the request: not on Sundays$/);
    assert.equal(refused.body.reason, 'Forbidden');
    webhook.answer('/no', { allowed: false, status: { code: 200, reason: 'Sunday' } });
    assertRefused(await create(), 400, /denied the request: Sunday$/);
    webhook.answer('/no', { allowed: false });
    assertRefused(await create(), 400, /denied the request without explanation$/);
    assert.equal((await server.send(`${MAPS}/refused`)).code, 404);
  });

  it('warns the client', async () => {
    await configure('Validating', 'warns');
    webhook.answer('/warns', { allowed: true, warnings: ['this is "old"'] });
    const { code, headers } = await server.send(`POST ${MAPS}`, { body: map('warned') });
    assert.equal(code, 201);
    assert.equal(headers.warning, '299 - "this is \\"old\\""');
  });

  it('that cannot be asked stops the write, or does not, by its failure policy', async () => {
    const strange = await server.pki.authority.issueServer(['somewhere.else']);
    const stranger = await startWebhook(strange);
    try {
      const at = (more: Fields) => ({ caBundle, ...more });
      const service = { namespace: 'tools', name: 'hook', path: '/x' };
      const cases: [clientConfig: Fields, message: RegExp][] = [
        [
          at({ service: { ...service, name: 'none' } }),
          /Post "https:\/\/none.tools.svc:443\/x\?timeout=1s": service "none" not found$/,
        ],
        [at({ service: { ...service, port: 8443 } }), /no service port 8443 found for service "hook"/],
        [at({ url: 'https://localhost:1/x' }), /ECONNREFUSED/],
        [
          at({ url: `https://localhost:${stranger.port}/x` }),
          /Hostname\/IP does not match certificate's altnames/,
        ],
        [{ url: `https://localhost:${webhook.port}/x` }, /self-signed certificate|unable to (get|verify)/],
        [at({ service: { ...service, path: '/slow' } }), /context deadline exceeded$/],
        [
          at({ service: { ...service, path: '/other' } }),
          /received invalid webhook response: expected response.uid=/,
        ],
      ];
      webhook.answer('/slow', () => new Promise((resolve) => setTimeout(resolve, 1500)));
      webhook.answer('/other', (review) => respond(review, { uid: 'another', allowed: true }));
      for (const [index, [clientConfig, message]] of cases.entries()) {
        const more = { clientConfig, timeoutSeconds: 1 };
        await configure('Validating', `must-${index}`, more);
        const answer = await server.send(`POST ${MAPS}`, { body: map(`must-${index}`) });
        assertRefused(answer, 500, message);
        assert.match(
          answer.body.message,
          /^Internal error occurred: failed calling webhook "must-\d.enid.test": /,
        );
        await server.must(`DELETE ${CONFIGURATIONS}/validatingwebhookconfigurations/must-${index}`);
        await configure('Validating', `may-${index}`, { ...more, failurePolicy: 'Ignore' });
        await server.must(`POST ${MAPS}`, map(`may-${index}`));
        await server.must(`DELETE ${CONFIGURATIONS}/validatingwebhookconfigurations/may-${index}`);
      }
    } finally {
      stranger.stop();
    }
  });
});

describe('a write that is reviewed', () => {
  it('begins anew when the object has changed meanwhile, and loses nothing of it', async () => {
    await server.must(`POST ${MAPS}`, { ...map('busy'), data: { count: '0' } });
    await configure('Validating', 'slows');
    let first = true;
    webhook.answer('/slows', async (review) => {
      if (first) {
        first = false;
        await server.must(
          `PATCH ${MAPS}/busy`,
          { data: { other: 'kept' } },
          {
            'content-type': 'application/merge-patch+json',
          },
        );
      }
      return respond(review, { allowed: true });
    });
    const { data } = await server.must(
      `PATCH ${MAPS}/busy`,
      { data: { count: '1' } },
      {
        'content-type': 'application/merge-patch+json',
      },
    );
    assert.deepEqual(data, { count: '1', other: 'kept' });
    assert.deepEqual(asked().at(-1).object.data, data);
  });

  it('is a conflict when it was of a version that is gone', async () => {
    const old = await server.must(`POST ${MAPS}`, map('versioned'));
    await configure('Mutating', 'overtakes');
    let first = true;
    webhook.answer('/overtakes', async (review) => {
      if (first) {
        first = false;
        await server.must(`PUT ${MAPS}/versioned`, { ...map('versioned'), data: { winner: 'other' } });
      }
      return respond(review, { allowed: true });
    });
    const answer = await server.send(`PUT ${MAPS}/versioned`, { body: { ...old, data: { winner: 'me' } } });
    assertRefused(answer, 409, /the object has been modified/);
    assert.deepEqual((await server.must(`${MAPS}/versioned`)).data, { winner: 'other' });
  });

  it('does not take what has become another’s: a name, an address', async () => {
    await configure('Validating', 'waits', {
      rules: [{ ...MAP_RULE, resources: ['services'], operations: ['CREATE'] }],
    });
    const service = (name: string, clusterIP?: string) => ({
      ...map(name),
      spec: { ports: [{ port: 80 }], ...(clusterIP && { clusterIP }) },
    });
    let taken: string | undefined;
    webhook.answer('/waits', async (review) => {
      const { spec, metadata } = review.request.object;
      if (metadata.name === 'late' && !taken) {
        taken = spec.clusterIP;
        await server.must('POST /api/v1/namespaces/default/services', service('early', taken));
      }
      return respond(review, { allowed: true });
    });
    const late = await server.must('POST /api/v1/namespaces/default/services', service('late'));
    assert.ok(taken);
    assert.notEqual(late.spec.clusterIP, taken);
    assert.equal(late.spec.clusterIP, asked().at(-1).object.spec.clusterIP);
  });

  it('makes the others wait for nothing', async () => {
    await configure('Validating', 'never', {
      rules: [{ ...MAP_RULE, resources: ['secrets'] }],
      timeoutSeconds: 1,
    });
    webhook.answer('/never', () => new Promise(() => {}));
    const secret = server.send('POST /api/v1/namespaces/default/secrets', { body: map('held') });
    await server.must(`POST ${MAPS}`, map('meanwhile'));
    assertRefused(await secret, 500, /context deadline exceeded/);
  });
});

describe('a configuration', () => {
  it('gets the defaults that the real server gives', async () => {
    await configure('Mutating', 'plain');
    const { webhooks, metadata } = await server.must(`${CONFIGURATIONS}/mutatingwebhookconfigurations/plain`);
    const [{ failurePolicy, matchPolicy, timeoutSeconds, reinvocationPolicy, rules, clientConfig, ...rest }] =
      webhooks;
    assert.deepEqual(
      [
        failurePolicy,
        matchPolicy,
        timeoutSeconds,
        reinvocationPolicy,
        rules[0].scope,
        clientConfig.service.port,
      ],
      ['Fail', 'Equivalent', 10, 'Never', '*', 443],
    );
    assert.deepEqual([rest.namespaceSelector, rest.objectSelector], [{}, {}]);
    assert.equal(metadata.generation, 1);
  });

  it('is refused with what is wrong in it', async () => {
    const answer = await server.send(`POST ${CONFIGURATIONS}/validatingwebhookconfigurations`, {
      body: {
        metadata: { name: 'wrong' },
        webhooks: [
          {
            name: 'short',
            admissionReviewVersions: ['v1beta1'],
            sideEffects: 'Some',
            timeoutSeconds: 31,
            clientConfig: { url: 'http://plain.test' },
            rules: [{ ...MAP_RULE, operations: ['READ'], apiGroups: ['*', 'apps'] }],
            matchConditions: [{ name: 'x', expression: 'true' }],
          },
          {
            name: 'nowhere.enid.test',
            admissionReviewVersions: ['v1'],
            sideEffects: 'None',
            clientConfig: {},
          },
        ],
      },
    });
    assert.equal(answer.code, 422);
    const fields = answer.body.details.causes.map(({ field }: { field: string }) => field).sort();
    assert.deepEqual(fields, [
      'webhooks[0].admissionReviewVersions',
      'webhooks[0].clientConfig.url',
      'webhooks[0].matchConditions',
      'webhooks[0].name',
      'webhooks[0].rules[0].apiGroups',
      'webhooks[0].rules[0].operations[0]',
      'webhooks[0].sideEffects',
      'webhooks[0].timeoutSeconds',
      'webhooks[1].clientConfig',
    ]);
  });
});
