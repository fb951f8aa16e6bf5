import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openPki } from '../../pki/index.ts';
import { startTestApiServer, type TestApiServer } from '../apiserver.fixture.ts';

let server: TestApiServer;
let now = Date.now();
const ACCOUNTS = '/api/v1/namespaces/default/serviceaccounts';
const WHO = 'POST /apis/authentication.k8s.io/v1/selfsubjectreviews';

before(async () => {
  server = await startTestApiServer({ now: () => now });
});
after(() => server.stop());

function connect(credential: { certificate?: string; key?: string } = {}): Agent {
  return new Agent({
    ca: server.pki.authority.certificate,
    cert: credential.certificate,
    key: credential.key,
  });
}

const withToken = (token: string, what = WHO) =>
  server.send(what, { agent: connect(), headers: { authorization: `Bearer ${token}` }, body: {} });

test('a certificate of the cluster’s authority says who one is, whatever connection it comes over', async () => {
  const alice = await server.pki.authority.issueClient('alice', ['dev', 'ops']);
  const agent = new Agent({
    keepAlive: false,
    maxCachedSessions: 10,
    ca: server.pki.authority.certificate,
    cert: alice.certificate,
    key: alice.key,
  });
  // The second connection resumes the session of the first.
  for (let i = 0; i < 2; i += 1) {
    const { body } = await server.send(WHO, { agent, body: {} });
    assert.deepEqual(body.status.userInfo, {
      username: 'alice',
      groups: ['dev', 'ops', 'system:authenticated'],
    });
  }
});

test('nobody, a stranger, and one who says nothing true are refused', async (t) => {
  const nobody = await server.send('/api/v1/nodes', { agent: connect() });
  assert.equal(nobody.code, 401);
  assert.equal(nobody.body.reason, 'Unauthorized');
  const directory = mkdtempSync(join(tmpdir(), 'enid-foreign-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const foreign = await (await openPki(directory)).authority.issueClient('admin', ['system:masters']);
  assert.equal((await server.send('/api/v1/nodes', { agent: connect(foreign) })).code, 401);
  const servers = await server.pki.authority.issueServer(['admin']);
  assert.equal((await server.send('/api/v1/nodes', { agent: connect(servers) })).code, 401, 'not a client’s');
  const expired = await server.pki.authority.issueClient('admin', ['system:masters'], -1);
  assert.equal((await server.send('/api/v1/nodes', { agent: connect(expired) })).code, 401);
  for (const token of ['x', 'a.b.c', '..', 'e30.e30.e30']) {
    assert.equal((await withToken(token)).code, 401, token);
  }
});

test('a token is its account’s, until it expires or the account is gone', async () => {
  await server.must(`POST ${ACCOUNTS}`, { metadata: { name: 'robot' } });
  const request = await server.must(`POST ${ACCOUNTS}/robot/token`, { spec: { expirationSeconds: 600 } });
  const { token, expirationTimestamp } = request.status;
  assert.equal(Date.parse(expirationTimestamp), Math.floor(now / 1000) * 1000 + 600_000);
  const { body } = await withToken(token);
  assert.equal(body.status.userInfo.username, 'system:serviceaccount:default:robot');
  assert.deepEqual(body.status.userInfo.groups, [
    'system:serviceaccounts',
    'system:serviceaccounts:default',
    'system:authenticated',
  ]);
  const [head, claims, signature] = token.split('.');
  const forged = Buffer.from(claims, 'base64url').toString().replace('robot', 'admin');
  const changed = `${head}.${Buffer.from(forged).toString('base64url')}.${signature}`;
  assert.equal((await withToken(changed)).code, 401);

  now += 599_000;
  assert.equal((await withToken(token)).code, 201);
  now += 2000;
  assert.equal((await withToken(token)).code, 401, 'expired');

  const second = (await server.must(`POST ${ACCOUNTS}/robot/token`, {})).status.token;
  const review = { spec: { token: second } };
  const path = 'POST /apis/authentication.k8s.io/v1/tokenreviews';
  assert.equal((await server.must(path, review)).status.authenticated, true);
  await server.must(`DELETE ${ACCOUNTS}/robot`);
  await server.must(`POST ${ACCOUNTS}`, { metadata: { name: 'robot' } });
  assert.equal((await withToken(second)).code, 401, 'another account of the same name');
  assert.equal((await server.must(path, review)).status.authenticated, false);

  const short = await server.send(`POST ${ACCOUNTS}/robot/token`, {
    body: { spec: { expirationSeconds: 5 } },
  });
  assert.equal(short.code, 422);
  const audience = await server.must(`POST ${ACCOUNTS}/robot/token`, {
    spec: { audiences: ['sts.amazonaws.com'] },
  });
  assert.equal((await withToken(audience.status.token)).code, 401, 'meant for somebody else');
});

test('a token of a pod is good as long as the pod', async () => {
  const pods = '/api/v1/namespaces/default/pods';
  await server.must('POST /api/v1/nodes', { metadata: { name: 'n1' } });
  const pod = await server.must(`POST ${pods}`, {
    metadata: { name: 'p' },
    spec: { serviceAccountName: 'robot', nodeName: 'n1', containers: [{ name: 'c', image: 'i' }] },
  });
  const boundObjectRef = { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: pod.metadata.uid };
  const { token } = (await server.must(`POST ${ACCOUNTS}/robot/token`, { spec: { boundObjectRef } })).status;
  const { extra } = (await withToken(token)).body.status.userInfo;
  assert.deepEqual(extra['authentication.kubernetes.io/pod-name'], ['p']);
  assert.deepEqual(extra['authentication.kubernetes.io/node-name'], ['n1']);
  await server.must(`DELETE ${pods}/p?gracePeriodSeconds=0`);
  assert.equal((await withToken(token)).code, 401);
  const gone = await server.send(`POST ${ACCOUNTS}/robot/token`, { body: { spec: { boundObjectRef } } });
  assert.equal(gone.code, 400);
});
