/** Ingresses on the wire: application load balancers that the controller makes, asked from the internet or, on a given cluster, from a pod. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { KubeObject, List, Node } from '@enid/kube';
import { WITHOUT_AWS } from './given.ts';
import { type Asked, IngressBed, NAME } from './ingress-bed.ts';

type Path = readonly [pathType: string, path: string, backend: string];

let bed: IngressBed;

before(async () => {
  bed = await IngressBed.open();
  await bed.serve({ 'web-1': 'web', 'web-2': 'web', api: 'api' });
});
after(() => bed?.[Symbol.asyncDispose]());

/** `web:80`, or `name:use-annotation`. */
function backend(text: string) {
  const [name, port = ''] = text.split(':');
  return { service: { name, port: /^\d+$/.test(port) ? { number: Number(port) } : { name: port } } };
}

/** @param annotations without their prefix; for who asks, with pods as targets, unless they say otherwise. */
function ingress(
  name: string,
  annotations: Readonly<Record<string, string>>,
  rules: Readonly<Record<string, readonly Path[]>>,
): KubeObject {
  const all = {
    scheme: bed.site.scheme,
    'target-type': 'ip',
    'healthcheck-interval-seconds': '5',
    'healthcheck-timeout-seconds': '2',
    ...annotations,
    // Groups are the cluster's: others may have some of these names.
    ...(annotations['group.name'] && { 'group.name': `${NAME}-${annotations['group.name']}` }),
  };
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: {
      namespace: NAME,
      name,
      annotations: Object.fromEntries(
        Object.entries(all).map(([key, value]) => [`alb.ingress.kubernetes.io/${key}`, value]),
      ),
    },
    spec: {
      ingressClassName: 'alb',
      rules: Object.entries(rules).map(([host, paths]) => ({
        ...(host && { host }),
        http: { paths: paths.map(([pathType, path, to]) => ({ pathType, path, backend: backend(to) })) },
      })),
    },
  } as KubeObject;
}

const fixed = (messageBody: string, statusCode = '200') =>
  JSON.stringify({
    type: 'fixed-response',
    fixedResponseConfig: { contentType: 'text/plain', statusCode, messageBody },
  });
/** Who answered: a pod, or what a fixed response says. */
const who = ({ seen, status, body }: Asked) => seen?.pod ?? (status === 200 ? body : status);

// First of all, while what AWS allows in one go has not been used.
test('a hundred Ingresses of one group are served within 20 seconds, by as few calls as AWS asks for', async (t) => {
  const names = Array.from({ length: 100 }, (_, index) => `many-${index}`);
  const before = await bed.calls();
  const begun = performance.now();
  await bed.apply(
    ...names.map((name) =>
      ingress(name, { 'group.name': 'many' }, { [`${name}.test`]: [['Prefix', '/', 'web:80']] }),
    ),
  );
  const at = await bed.nameOf('many-99');
  await bed.allServed(
    at,
    names.map((name) => `http://${name}.test/`),
  );
  const seconds = (performance.now() - begun) / 1000;
  const after = await bed.calls();
  if (!before || !after) return t.diagnostic(`${seconds.toFixed(1)} s; calls are counted where metrics are`);
  const calls = (operation: string) => (after.get(operation) ?? 0) - (before.get(operation) ?? 0);
  const made = [...after.keys()].filter(calls).map((operation) => `${operation} ${calls(operation)}`);
  t.diagnostic(`${seconds.toFixed(1)} s: ${made.toSorted().join(', ')}`);
  assert.ok(seconds < 20, `${seconds} s`);
  assert.deepEqual(['CreateLoadBalancer', 'CreateListener'].map(calls), [1, 1]);
  // AWS allows 50 calls of a kind in one go, and then 5 a second: some are refused and made again.
  for (const operation of ['CreateTargetGroup', 'CreateRule', 'RegisterTargets'])
    assert.ok(calls(operation) >= 100 && calls(operation) < 120, `${operation} ${calls(operation)}`);
  assert.ok(calls('SetRulePriorities') <= 5, 'rules are moved together');
});

test('requests go where the rules of a group say, in the order that Kubernetes means', async () => {
  const group = { 'group.name': 'front' };
  await bed.apply(
    ingress(
      'paths',
      {
        ...group,
        'group.order': '1',
        'actions.exact': fixed('exact'),
        'actions.long': fixed('long'),
        'actions.png': fixed('png'),
      },
      {
        'a.example.com': [
          ['ImplementationSpecific', '/img/*.p?g', 'png:use-annotation'],
          ['Prefix', '/shop', 'api:80'],
          ['Exact', '/shop', 'exact:use-annotation'],
          ['Prefix', '/shop/cart', 'long:use-annotation'],
        ],
        '*.example.com': [['Prefix', '/', 'web:80']],
      },
    ),
    ingress(
      'actions',
      {
        ...group,
        'group.order': '2',
        'actions.to-eks': JSON.stringify({
          type: 'redirect',
          redirectConfig: {
            host: 'aws.amazon.com',
            path: '/eks/',
            port: '443',
            protocol: 'HTTPS',
            query: 'k=v',
            statusCode: 'HTTP_302',
          },
        }),
        'actions.teapot': fixed('503 error text', '503'),
        'actions.weighted': JSON.stringify({
          type: 'forward',
          forwardConfig: {
            targetGroups: [
              { serviceName: 'api', servicePort: 'http', weight: 1 },
              { serviceName: 'web', servicePort: 80, weight: 0 },
            ],
          },
        }),
        'actions.mine': fixed('mine'),
        'conditions.mine': JSON.stringify([
          { field: 'source-ip', sourceIpConfig: { values: [`${bed.site.address}/32`] } },
        ]),
        'actions.theirs': fixed('theirs'),
        'conditions.theirs': JSON.stringify([
          { field: 'source-ip', sourceIpConfig: { values: ['192.0.2.0/24'] } },
        ]),
        'actions.gold': fixed('gold'),
        'conditions.gold': JSON.stringify([
          { field: 'http-header', httpHeaderConfig: { httpHeaderName: 'X-Kind', values: ['gold', '*ish'] } },
          { field: 'http-request-method', httpRequestMethodConfig: { Values: ['GET', 'PUT'] } },
          { field: 'query-string', queryStringConfig: { values: [{ key: 'v', value: '1?' }] } },
        ]),
      },
      {
        '': [
          ['Exact', '/eks', 'to-eks:use-annotation'],
          ['Exact', '/503', 'teapot:use-annotation'],
          ['Exact', '/weighted', 'weighted:use-annotation'],
          ['Exact', '/whose', 'theirs:use-annotation'],
          ['Exact', '/whose', 'mine:use-annotation'],
          ['Exact', '/gold', 'gold:use-annotation'],
          ['Exact', '/gone', 'gone:80'],
        ],
      },
    ),
  );
  const at = await bed.nameOf('actions');
  const first = await bed.served(at, 'http://b.example.com/');
  assert.match(first.seen!.pod, /^web-[12]$/);
  assert.equal(first.seen!.headers['x-forwarded-for'], bed.site.address);
  assert.deepEqual(
    [
      first.seen!.headers['x-forwarded-proto'],
      first.seen!.headers['x-forwarded-port'],
      first.seen!.headers.host,
    ],
    ['http', '80', 'b.example.com'],
  );
  await bed.served(at, 'http://a.example.com/shop/x');
  await bed.served(at, 'http://x.test/weighted');

  const asked: [url: string, answer: string | number, ...options: string[]][] = [
    ['http://a.example.com/shop', 'exact'],
    ['http://a.example.com/shop/', 'api'],
    ['http://a.example.com/shop/x?y', 'api'],
    ['http://a.example.com/shop/cart', 'long'],
    ['http://a.example.com/shop/cart/1', 'long'],
    ['http://a.example.com/shop/cartoon', 'api'],
    ['http://a.example.com/img/a/b.png', 'png'],
    ['http://x.test/503', 503],
    ['http://x.test/weighted', 'api'],
    ['http://x.test/whose', 'mine'],
    ['http://x.test/gold?v=12', 'gold', '-H', 'x-kind: reddish'],
    ['http://x.test/gold?v=12', 404, '-H', 'x-kind: red'],
    ['http://x.test/gold?v=2', 404, '-H', 'x-kind: gold'],
    ['http://x.test/gold?v=12', 404, '-H', 'x-kind: gold', '-X', 'POST'],
    ['http://x.test/gone', 503],
    ['http://x.test/', 404],
  ];
  for (const [url, answer, ...options] of asked)
    assert.equal(who(await bed.ask(at, url, ...options)), answer, `${url} ${options}`);
  assert.match(String(who(await bed.ask(at, 'http://a.example.com/shopping'))), /^web-[12]$/);
  const { status, headers, body } = await bed.ask(at, 'http://x.test/eks');
  assert.deepEqual([status, headers.location, body], [302, 'https://aws.amazon.com:443/eks/?k=v', body]);
  assert.equal((await bed.ask(at, 'http://x.test/503')).body, '503 error text');
  const [warning] = await bed.warningsOf('actions');
  assert.match(
    warning!,
    /Ingress ingresstest\/actions: its backend Service ingresstest\/gone does not exist/,
  );
});

test('nodes are targets by the NodePort of a Service, and send on from their own addresses', async () => {
  await bed.apply(
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'by-nodes', namespace: NAME },
      spec: { type: 'NodePort', selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] },
    } as KubeObject,
    ingress(
      'by-nodes',
      { 'group.name': 'front', 'target-type': 'instance' },
      { 'nodes.test': [['Prefix', '/', 'by-nodes:80']] },
    ),
  );
  const at = await bed.nameOf('by-nodes');
  const { seen } = await bed.served(at, 'http://nodes.test/x');
  const { items } = await bed.site.stations.client.get<List<Node>>('/api/v1/nodes');
  const nodes = items.flatMap(({ status }) =>
    status?.addresses?.flatMap(({ type, address }) => (type === 'InternalIP' ? address : [])),
  );
  assert.match(seen!.pod, /^web-[12]$/);
  assert.deepEqual([seen!.url, seen!.headers['x-forwarded-for']], ['/x', bed.site.address]);
  assert.ok(nodes.includes(seen!.client), `${seen!.client} is one of ${nodes}`);
});

test('a client stays with its pod where target-group-attributes say so, and else meets all', async () => {
  const sticky = {
    'target-group-attributes': 'stickiness.enabled=true,stickiness.lb_cookie.duration_seconds=60',
  };
  await bed.apply(
    ingress('sticky', { 'group.name': 'front', ...sticky }, { 'sticky.test': [['Prefix', '/', 'web:80']] }),
  );
  const at = await bed.nameOf('sticky');
  const { cookies } = await bed.served(at, 'http://sticky.test/');
  const cookie = cookies.find((each) => each.startsWith('AWSALB='));
  const pods = async (...options: string[]) => {
    const answers = await Promise.all(
      Array.from({ length: 12 }, () => bed.ask(at, 'http://sticky.test/', ...options)),
    );
    return new Set(answers.map(({ seen }) => seen?.pod));
  };
  assert.equal((await pods('-H', `cookie: ${cookie}`)).size, 1);
  assert.deepEqual(await pods(), new Set(['web-1', 'web-2']));
});

test('HTTPS has the certificate of the host that is asked for, and HTTP redirects to it', {
  skip: WITHOUT_AWS,
}, async () => {
  const hosts = ['one.tls.test', 'two.tls.test'] as const;
  await bed.certificate(hosts[0]);
  await bed.certificate('*.tls.test');
  await bed.apply(
    ingress(
      'tls',
      { 'listen-ports': '[{"HTTP": 80}, {"HTTPS": 443}]', 'ssl-redirect': '443' },
      Object.fromEntries(hosts.map((host) => [host, [['Prefix', '/', 'api:80'] as const]])),
    ),
  );
  const at = await bed.nameOf('tls');
  const { seen } = await bed.served(at, 'https://one.tls.test/x', ({ seen }) => Boolean(seen));
  assert.deepEqual([seen!.headers['x-forwarded-proto'], seen!.headers['x-forwarded-port']], ['https', '443']);
  const subjects = await Promise.all(hosts.map((host) => bed.subjectOf(at, host)));
  assert.deepEqual(subjects, ['CN=one.tls.test', 'CN=*.tls.test']);
  const { status, headers } = await bed.ask(at, 'http://two.tls.test/a?b');
  assert.deepEqual([status, headers.location], [301, 'https://two.tls.test:443/a?b']);
});

test('what is wrong is told of its Ingress, with the limit, and harms no other', async () => {
  await bed.apply(
    ingress('small', { ...action, 'group.name': 'big-1' }, { 'small.test': texts(2) }),
    ingress('big-1', { ...action, 'group.name': 'big-1' }, { 'big-1.test': texts(101) }),
    ingress('big-2', { ...action, 'group.name': 'big-2' }, { 'big-2.test': texts(101) }),
  );
  await areTold({
    'big-1':
      /Ingress ingresstest\/big-1: the load balancer of group ingresstest-big-1 would have \d+ rules, 101 of them by this Ingress: AWS allows 100/,
    'big-2':
      /Ingress ingresstest\/big-2: the load balancer of group ingresstest-big-2 would have 101 rules, 101 of them by this Ingress: AWS allows 100/,
  });
  const small = await bed.nameOf('small');
  await bed.served(small, 'http://small.test/1', ({ body }) => body === 'text');
  assert.equal((await bed.ask(small, 'http://big-1.test/1')).status, 404);
});

test('so is what is wrong with certificates', { skip: WITHOUT_AWS }, async () => {
  const front = await bed.nameOf('paths');
  const arn = await bed.certificate('conflict.test');
  await bed.apply(
    ingress(
      'conflict',
      { ...action, 'group.name': 'front', 'listen-ports': '[{"HTTPS": 80}]', 'certificate-arn': arn },
      { 'conflict.test': texts(1) },
    ),
    ingress(
      'unknown',
      { ...action, 'certificate-arn': `${arn.slice(0, -12)}000000000000` },
      { 'unknown.test': texts(1) },
    ),
  );
  await areTold({
    conflict:
      /Ingress ingresstest\/conflict: the protocol of port 80 \(listen-ports\) is HTTPS, and HTTP by Ingress ingresstest\/\w+ of the same group/,
    unknown:
      /Ingress ingresstest\/unknown: annotation \S+certificate-arn names "arn:.*000000000000": ACM has no such certificate/,
  });
  assert.equal(who(await bed.ask(front, 'http://a.example.com/shop/')), 'api');
});

const action = { 'actions.text': fixed('text') };
/** Paths that have one text. */
const texts = (count: number) =>
  Array.from({ length: count }, (_, index): Path => ['Exact', `/${index}`, 'text:use-annotation']);

/** That Ingresses have these warnings, and no load balancer. */
async function areTold(wrong: Readonly<Record<string, RegExp>>): Promise<void> {
  for (const [name, message] of Object.entries(wrong))
    assert.match((await bed.warningsOf(name)).join('\n'), message);
  for (const name of Object.keys(wrong)) assert.equal(await bed.addressOf(name), undefined);
}
