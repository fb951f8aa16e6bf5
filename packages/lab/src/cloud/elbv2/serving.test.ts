import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as elb from '@aws-sdk/client-elastic-load-balancing-v2';
import { launch } from '../cloud.fixture.ts';
import type { LoadBalancerPlane } from '../fabric.ts';
import type { CloudState } from '../state.ts';
import {
  createListener,
  createLoadBalancer,
  createTargetGroup,
  forwardTo,
  respond,
  startLab,
} from './elbv2.fixture.ts';
import { type ServingLoadBalancer, servingLoadBalancers } from './serving.ts';

/** Takes note of what it is to serve, and refuses when it is told to. */
class NullPlane implements LoadBalancerPlane {
  serving: ServingLoadBalancer[] = [];
  syncs = 0;
  refusal: Error | undefined;

  async sync(state: CloudState): Promise<void> {
    const error = this.refusal;
    this.refusal = undefined;
    if (error) throw error;
    this.syncs += 1;
    this.serving = servingLoadBalancers(state);
  }
}

test('what serves knows of all before a call is answered, and is not asked about what does not concern it', async (t) => {
  const plane = new NullPlane();
  const lab = await startLab(t, { loadBalancers: plane, settings: { loadBalancerDelayMs: 10 } });
  const { LoadBalancerArn } = await createLoadBalancer(lab, { Type: 'network' });
  const node = await launch(lab, lab.subnetId);
  const group = await createTargetGroup(lab, 'nodes', {
    Protocol: 'TCP',
    Port: 30_080,
    TargetType: 'instance',
  });
  const listener = await createListener(lab, LoadBalancerArn!, {
    Protocol: 'TCP',
    DefaultActions: forwardTo(group),
  });
  assert.equal(plane.serving.length, 0);
  await lab.clock.advance(10);
  await lab.cloud.settled();
  const networkBefore = lab.fabric.synced.length;
  const TargetGroupArn = group;
  await lab.elb.send(new elb.RegisterTargetsCommand({ TargetGroupArn, Targets: [{ Id: node }] }));
  const [serving] = plane.serving;
  assert.deepEqual(
    serving!.zones.map(({ zone }) => zone),
    ['us-east-1a', 'us-east-1b'],
  );
  assert.equal(serving!.attributes['load_balancing.cross_zone.enabled'], 'false');
  assert.deepEqual(
    serving!.listeners.map(({ arn, protocol, port }) => [arn, protocol, port]),
    [[listener, 'TCP', 80]],
  );
  const served = serving!.targetGroups[group]!;
  assert.deepEqual([served.crossZone, served.attributes['preserve_client_ip.enabled']], [false, 'true']);
  const address = lab.cloud.state.instances[node]!.privateIp;
  const target = { id: node, address, port: 30_080, zone: 'us-east-1a', draining: false };
  assert.deepEqual(served.targets, [target]);
  await lab.elb.send(new elb.DeregisterTargetsCommand({ TargetGroupArn, Targets: [{ Id: node }] }));
  assert.deepEqual(plane.serving[0]!.targetGroups[group]!.targets, [{ ...target, draining: true }]);
  // The network beneath has nothing to do with all that.
  assert.equal(lab.fabric.synced.length, networkBefore);

  plane.refusal = new Error('no more memory');
  const modify = (Port: number) =>
    lab.elb.send(new elb.ModifyListenerCommand({ ListenerArn: listener, Port }));
  await assert.rejects(modify(81), { name: 'InternalError', message: /no more memory/ });
  assert.equal(lab.cloud.state.listeners[listener]!.port, 80);
  const synced = plane.syncs;
  await modify(81);
  assert.equal(plane.serving[0]!.listeners[0]!.port, 81);
  assert.equal(plane.syncs, synced + 1);
});

test('rules are in their order, the default one last, with the certificates of their listener', async (t) => {
  const lab = await startLab(t);
  const { LoadBalancerArn } = await createLoadBalancer(lab);
  const ListenerArn = await createListener(lab, LoadBalancerArn!);
  for (const Priority of [20, 3]) {
    const Conditions = [{ Field: 'path-pattern', Values: [`/${Priority}`] }];
    await lab.elb.send(
      new elb.CreateRuleCommand({ ListenerArn, Priority, Conditions, Actions: respond('200') }),
    );
  }
  const [serving] = servingLoadBalancers(lab.cloud.state);
  const [listener] = serving!.listeners;
  assert.deepEqual(
    listener!.rules.map(({ conditions, actions }) => [
      conditions[0]?.Values?.[0],
      actions[0]?.FixedResponseConfig?.StatusCode,
    ]),
    [
      ['/3', '200'],
      ['/20', '200'],
      [undefined, '404'],
    ],
  );
  assert.equal(serving!.attributes['routing.http.xff_header_processing.mode'], 'append');
  await lab.elb.send(new elb.DeleteLoadBalancerCommand({ LoadBalancerArn }));
  assert.deepEqual(servingLoadBalancers(lab.cloud.state), []);
});
