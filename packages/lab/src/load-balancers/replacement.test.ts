/** Load balancers whose configuration changes under traffic, and whose processes are killed. */
import assert from 'node:assert/strict';
import type http from 'node:http';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import * as elb from '@aws-sdk/client-elastic-load-balancing-v2';
import type { NetNamespace } from '@enid/linux';
import { processesWith } from '../base/processes.ts';
import { until } from '../base/until.ts';
import {
  createListener,
  createLoadBalancer,
  createTargetGroup,
  forwardTo,
  respond,
} from '../cloud/elbv2/elbv2.fixture.ts';
import { curl, get, InternetAgent } from './http.fixture.ts';
import { healthy, register, startServing } from './lab.fixture.ts';

const CHUNK = 'x'.repeat(10_000);
/** What is sent on `/long`, until it is to end. */
const long = { chunks: 0, isOver: false };

/** Says which machine it is, or sends something long, slowly. */
const answer: http.RequestListener = async (request, response) => {
  if (request.url !== '/long') return response.end(request.socket.localAddress);
  for (; !long.isOver && !response.destroyed; long.chunks++) {
    response.write(CHUNK);
    await sleep(100);
  }
  response.end();
};

async function text(agent: http.Agent, host: string, path: string): Promise<string> {
  const { status, body } = await get(agent, host, path);
  return `${status} ${body}`;
}

/** Asks all the time, by connections that are used again and by new ones. */
function askSteadily(internet: NetNamespace, host: string) {
  const answers = new Map<string, number>();
  let isOver = false;
  const ask = async (agent: http.Agent) => {
    while (!isOver) {
      const found = await text(agent, host, '/').catch((error) => `${error}`);
      answers.set(found, (answers.get(found) ?? 0) + 1);
      await sleep(2);
    }
    agent.destroy();
  };
  const asking = [true, true, false, false].map((keepAlive) => ask(new InternetAgent(internet, keepAlive)));
  return async () => {
    isOver = true;
    await Promise.all(asking);
    return answers;
  };
}

test('no request and no connection is lost while rules and targets change, and while who looks after it does', async (t) => {
  const lab = await startServing(t, answer);
  const { internet, targets } = lab;
  const [near, far] = [targets[0].address, targets[1].address];
  const { LoadBalancerArn, DNSName } = await createLoadBalancer(lab, { Scheme: 'internet-facing' });
  await lab.cloud.settled();
  const group = await createTargetGroup(lab, 'web');
  const ListenerArn = await createListener(lab, LoadBalancerArn!, { DefaultActions: forwardTo(group) });
  await register(lab, group, [near, far]);
  await healthy(lab, group);
  const host = lab.cloud.resolve(DNSName!)![0]!;
  const processes = () => processesWith('haproxy', lab.directory).map(({ pid }) => pid);

  const stop = askSteadily(internet, host);
  const agent = new InternetAgent(internet, true);
  t.after(() => agent.destroy());
  const slow = text(agent, host, '/long');
  const [begun] = processes();
  await sleep(100);
  for (let i = 0; i < 3; i++) {
    // Targets come and go in the same process.
    const Targets = [{ Id: far }];
    await lab.elb.send(new elb.DeregisterTargetsCommand({ TargetGroupArn: group, Targets }));
    await sleep(100);
    await register(lab, group, [far]);
    await healthy(lab, group);
  }
  assert.deepEqual(processes(), [begun]);
  for (let Priority = 1; Priority <= 4; Priority++) {
    const Conditions = [{ Field: 'path-pattern', Values: [`/rule-${Priority}`] }];
    const Actions = respond(`2${Priority}0`);
    await lab.elb.send(new elb.CreateRuleCommand({ ListenerArn, Priority, Conditions, Actions }));
    // It is in force when the call is answered.
    assert.equal((await curl(internet, `http://${host}/rule-${Priority}`)).status, 200 + Priority * 10);
  }
  await lab.restart();
  const answers = await stop();
  assert.deepEqual(new Set(answers.keys()), new Set([`200 ${near}`, `200 ${far}`]));
  const count = [...answers.values()].reduce((sum, each) => sum + each);
  assert.ok(count > 100, `${count} requests`);
  assert.ok(processes().includes(begun!), 'the first process is still sending');
  long.isOver = true;
  assert.equal(await slow, `200 ${CHUNK.repeat(long.chunks)}`);
  agent.destroy();
  await until(processes, (found) => found.length === 1, 'the first processes to end');
  t.diagnostic(`${count} requests`);
});

test('a process that is killed is started again, and none is left when its load balancer is deleted', async (t) => {
  const lab = await startServing(t, answer);
  const { LoadBalancerArn, DNSName } = await createLoadBalancer(lab, { Scheme: 'internet-facing' });
  await lab.cloud.settled();
  await createListener(lab, LoadBalancerArn!, { DefaultActions: respond('200') });
  const host = lab.cloud.resolve(DNSName!)![0]!;
  const processes = () => processesWith('haproxy', lab.directory);
  const status = async () => (await curl(lab.internet, `http://${host}/`)).status;
  assert.equal(await status(), 200);
  const { pid } = processes()[0]!;
  process.kill(pid, 'SIGKILL');
  await until(status, (found) => found === 200, 'the load balancer to answer again');
  assert.notEqual(processes()[0]!.pid, pid);
  await lab.elb.send(new elb.DeleteLoadBalancerCommand({ LoadBalancerArn }));
  assert.deepEqual(processes(), []);
});
