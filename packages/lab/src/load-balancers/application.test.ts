/** Application load balancers that carry traffic: from the internet to targets in two zones, on the lab's network. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as elb from '@aws-sdk/client-elastic-load-balancing-v2';
import {
  createListener,
  createLoadBalancer,
  createTargetGroup,
  forwardTo,
} from '../cloud/elbv2/elbv2.fixture.ts';
import { INTERNET_CLIENT } from '../internet/server.ts';
import { curl, tellRequest } from './http.fixture.ts';
import { healthy, nodesOf, register, startServing } from './lab.fixture.ts';

test('requests go where rules say, from the load balancer and with the client in a header', async (t) => {
  const lab = await startServing(t, tellRequest);
  const [near, far] = lab.targets;
  const { LoadBalancerArn, DNSName } = await createLoadBalancer(lab, { Scheme: 'internet-facing' });
  await lab.cloud.settled();
  const [first] = lab.cloud.resolve(DNSName!)!;
  const group = await createTargetGroup(lab, 'web', {
    HealthCheckIntervalSeconds: 5,
    HealthCheckTimeoutSeconds: 2,
  });
  const listener = await createListener(lab, LoadBalancerArn!, {});
  await lab.elb.send(
    new elb.CreateRuleCommand({
      ListenerArn: listener,
      Priority: 1,
      Conditions: [
        { Field: 'host-header', Values: ['*.example.com'] },
        { Field: 'path-pattern', Values: ['/api/*'] },
      ],
      Actions: forwardTo(group),
    }),
  );
  const get = (path: string, ...options: string[]) =>
    curl(lab.internet, `http://${first}${path}`, ...options);
  const api = () => get('/api/x', '-H', 'host: a.example.com', '-H', 'x-forwarded-for: 192.0.2.1');

  const none = await api();
  assert.deepEqual([none.status, none.headers.server], [503, 'awselb/2.0']);
  assert.match(none.body, /<h1>503 Service Temporarily Unavailable<\/h1>/);

  await register(lab, group, [near.address, far.address]);
  await healthy(lab, group);
  const answers = await Promise.all(Array.from({ length: 4 }, api));
  const requests = answers.map(({ body }) => JSON.parse(body));
  assert.deepEqual(new Set(requests.map(({ server }) => server)), new Set([near.address, far.address]));
  const [{ client, headers, url }] = requests;
  assert.equal(client, nodesOf(lab, LoadBalancerArn!)[0]);
  assert.equal(url, '/api/x');
  assert.equal(headers['x-forwarded-for'], `192.0.2.1, ${INTERNET_CLIENT}`);
  assert.deepEqual([headers['x-forwarded-proto'], headers['x-forwarded-port']], ['http', '80']);
  assert.match(headers['x-amzn-trace-id'], /^Root=1-[0-9a-f]{8}-[0-9a-f]{24}$/i);
  const other = await get('/api/x');
  assert.deepEqual([other.status, other.body], [404, '']);
});
