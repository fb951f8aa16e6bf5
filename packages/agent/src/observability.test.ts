/** Introspection and metrics as their users fetch them. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { parseIpv4 } from '@enid/ip';
import { assign, emptyPool, putEni, release, slotOf } from '@enid/ipam';
import { addressMap } from './address-map.ts';
import { AwsError } from './aws/errors.ts';
import { healthRoutes } from './health.ts';
import { type Routes, serveHttp } from './http.ts';
import { introspectionRoutes } from './introspection.ts';
import { AgentMetrics } from './metrics.ts';
import { PoolEvents } from './pool/events.ts';
import type { PoolView } from './pool/node-pool.ts';
import type { Readiness } from './seams.ts';
import { TestClock } from './test-clock.ts';

const clock = new TestClock();
const NOW = clock.now();
const keyOf = (pod: string) => ({ network: 'aws-cni', containerId: pod, ifName: 'eth0' });

/** One ENI with three addresses: one held, one that rests, one free. */
function view(): PoolView {
  const slots = ['10.0.0.10', '10.0.0.11', '10.0.0.12'].map((address) => slotOf(parseIpv4(address)));
  const eni = { id: 'eni-1', deviceNumber: 0, primary: true, since: 0, leaving: false, slots };
  const metadata = { k8sPodName: 'web', k8sPodNamespace: 'shop' };
  let pool = assign(putEni(emptyPool(30_000), eni), keyOf('c1'), metadata, NOW)!.pool;
  pool = release(assign(pool, keyOf('c2'), {}, NOW)!.pool, keyOf('c2'), NOW).pool;
  const events = new PoolEvents();
  Object.assign(events, { assignRequests: 2, releaseRequests: 1, refusals: 4 });
  events.reconciled.eniReconcileAdd = 1;
  events.errors.set('increaseDatastorePool', 5);
  events.inProgress.set('nodeIPPoolReconcile', 1);
  return { pool, enis: new Map(), foreign: new Set(), bounds: { enis: 3, slotsPerEni: 5 }, events };
}

const map = async () =>
  addressMap({ node: 'n', instanceType: 't3.medium', view: view(), shown: [], subnets: [], now: NOW });

async function served(t: TestContext, routes: Routes): Promise<(path: string) => Promise<Response>> {
  const service = await serveHttp({ host: '127.0.0.1', port: 0 }, routes);
  t.after(() => service[Symbol.asyncDispose]());
  return (path) => fetch(`http://127.0.0.1:${service.port}${path}`);
}

test('the probe is told whether pods can be added, and why not', async (t) => {
  let readiness: Readiness = { ok: false, reason: 'subnet-0a has no free address' };
  const get = await served(
    t,
    healthRoutes(() => readiness),
  );
  const ask = async () => {
    const answer = await get('/readyz');
    return [answer.status, await answer.text()];
  };
  assert.deepEqual(await ask(), [503, 'subnet-0a has no free address\n']);
  readiness = { ok: true };
  assert.deepEqual(await ask(), [200, 'ok\n']);
});

test('introspection shows ENIs, pods and settings', async (t) => {
  const get = await served(t, introspectionRoutes(view, { WARM_ENI_TARGET: '2', PATH: '/bin' }, map));
  const json = async (path: string) => JSON.parse(await (await get(path)).text());
  const enis = await json('/v1/enis');
  assert.deepEqual([enis.TotalIPs, enis.AssignedIPs], [3, 1]);
  const { IsPrimary, AvailableIPv4Cidrs } = enis.ENIs['eni-1'];
  assert.equal(IsPrimary, true);
  const { Address, IPAMKey, IPAMMetadata } = AvailableIPv4Cidrs['10.0.0.10/32'].IPAddresses['10.0.0.10'];
  assert.deepEqual([Address, IPAMKey.containerID, IPAMMetadata.k8sPodName], ['10.0.0.10', 'c1', 'web']);
  const pods = await json('/v1/pods');
  assert.deepEqual(Object.keys(pods), ['web_shop_c1']);
  assert.equal(pods.web_shop_c1.IP, '10.0.0.10');
  assert.deepEqual(await json('/v1/ipamd-env-settings'), { WARM_ENI_TARGET: '2' });
  assert.deepEqual(await json('/v1/eni-configs'), {});
  const { counts, enis: mapped } = await json('/v1/ips');
  assert.deepEqual([counts.total, counts.assigned, counts.cooling, counts.warm], [3, 1, 1, 1]);
  assert.deepEqual([mapped[0].slots[0].namespace, mapped[0].slots[0].pod], ['shop', 'web']);
  const unknown = await get('/v2/enis');
  assert.equal(unknown.status, 404);
  assert.match(await unknown.text(), /AvailableCommands.*\/v1\/enis/s);
});

test("metrics have Amazon's names, labels and values", async (t) => {
  const metrics = new AgentMetrics();
  metrics.showPool(view, clock);
  metrics.observeCall({ operation: 'DescribeSubnets', milliseconds: 12 });
  const error = new AwsError('RequestLimitExceeded', 'CreateNetworkInterface', 'throttled');
  metrics.observeCall({ operation: 'CreateNetworkInterface', milliseconds: 20, error });
  metrics.showPace(() => ({ rate: 2.5, throttles: 2 }));
  const { registry } = metrics;
  const get = await served(t, {
    '/metrics': async () => ({ type: registry.contentType, body: await registry.metrics() }),
  });
  await get('/metrics');
  const body = await (await get('/metrics')).text();
  for (const line of [
    'awscni_eni_max 3',
    'awscni_ip_max 15',
    'awscni_eni_allocated 1',
    'awscni_total_ip_addresses 3',
    'awscni_assigned_ip_addresses 1',
    'awscni_total_ipv4_prefixes 0',
    'awscni_assigned_ip_per_cidr{cidr="10.0.0.10/32"} 1',
    'awscni_assigned_ip_per_eni{eni="eni-1"} 1',
    'awscni_add_ip_req_count 2',
    'awscni_del_ip_req_count{reason="PodDeleted"} 1',
    'awscni_no_available_ip_addresses 4',
    'awscni_reconcile_count{fn="eniReconcileAdd"} 1',
    'awscni_ipamd_error_count{fn="increaseDatastorePool"} 5',
    'awscni_ipamd_action_inprogress{fn="nodeIPPoolReconcile"} 1',
    'awscni_force_removed_enis 0',
    'awscni_force_removed_ips 0',
    'awscni_ec2api_req_count{fn="DescribeSubnets"} 1',
    'awscni_ec2api_error_count{fn="CreateNetworkInterface"} 1',
    'awscni_aws_utils_error_count{fn="CreateNetworkInterface",error="RequestLimitExceeded"} 1',
    'enid_ec2_calls_per_second 2.5',
    'enid_ec2_throttled_count 2',
    'awscni_aws_api_error_count{api="CreateNetworkInterface",error="RequestLimitExceeded"} 1',
    'awscni_aws_api_latency_ms_count{api="DescribeSubnets",error="false",status="200"} 1',
  ]) {
    assert.ok(body.split('\n').includes(line), `${line} is not in\n${body}`);
  }
});

test('a unix socket is for root alone, and goes with the service', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'introspection-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'enid.sock');
  const service = await serveHttp({ path }, introspectionRoutes(view, {}, map));
  assert.equal(statSync(path).mode & 0o777, 0o600);
  await assert.rejects(serveHttp({ path }, {}), /another agent listens .*set INTROSPECTION_BIND_ADDRESS/);
  const body = await new Promise<string>((resolve) =>
    get({ socketPath: path, path: '/v1/enis' }, async (response) => resolve(await text(response))),
  );
  assert.equal(JSON.parse(body).TotalIPs, 3);
  await service[Symbol.asyncDispose]();
  assert.deepEqual(readdirSync(folder), []);
});

test('a port that is taken is an error', async (t) => {
  const first = await serveHttp({ host: '127.0.0.1', port: 0 }, {});
  t.after(() => first[Symbol.asyncDispose]());
  await assert.rejects(serveHttp({ host: '127.0.0.1', port: first.port }, {}), { code: 'EADDRINUSE' });
});
