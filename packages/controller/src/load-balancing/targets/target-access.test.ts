import assert from 'node:assert/strict';
import { beforeEach, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import {
  AuthorizeSecurityGroupIngressCommand,
  DescribeSecurityGroupsCommand,
  type EC2Client,
  type IpPermission,
  RevokeSecurityGroupIngressCommand,
} from '@aws-sdk/client-ec2';
import { type NeededRules, TargetAccess } from './target-access.ts';

const NODES = 'sg-nodes';

/** EC2 with one security group, which takes a while for everything. */
class OneGroup {
  readonly ports = new Set<number>();
  /** How many of the calls to come fail. */
  failing = 0;

  async send(command: object): Promise<object> {
    await turn();
    if (this.failing > 0) {
      this.failing -= 1;
      throw new Error('the network is down');
    }
    const of = ({ input }: { input: { IpPermissions?: IpPermission[] | undefined } }) =>
      (input.IpPermissions ?? []).map(({ FromPort }) => FromPort!);
    if (command instanceof AuthorizeSecurityGroupIngressCommand)
      for (const port of of(command)) this.ports.add(port);
    else if (command instanceof RevokeSecurityGroupIngressCommand)
      for (const port of of(command)) this.ports.delete(port);
    else assert.ok(command instanceof DescribeSecurityGroupsCommand);
    const IpPermissions = [...this.ports].map((port) => ({
      IpProtocol: 'tcp',
      FromPort: port,
      ToPort: port,
      UserIdGroupPairs: [{ GroupId: 'sg-backend', Description: 'elbv2.k8s.aws/targetGroupBinding=shared' }],
    }));
    await turn();
    return { SecurityGroups: [{ GroupId: NODES, IpPermissions }] };
  }
}

let ec2: OneGroup;
let access: TargetAccess;
beforeEach(() => {
  ec2 = new OneGroup();
  access = new TargetAccess({
    ec2: ec2 as unknown as EC2Client,
    vpcId: 'vpc-1',
    clusterName: 'shop',
    isComplete: () => true,
  });
});

const nothing: NeededRules = new Map();
const port = (number: number): NeededRules =>
  new Map([[NODES, [{ protocol: 'tcp', ports: [number, number], from: { groupId: 'sg-backend' } }]]]);

it('closes what bindings have opened that go while others of the same group are at it', async () => {
  const numbers = [80, 90, 100, 110];
  await Promise.all(numbers.map((number) => access.need(`shop/${number}`, port(number))));
  assert.deepEqual([...ec2.ports].sort(), [100, 110, 80, 90]);
  const going = numbers.map(async (number) => {
    for (let turns = 0; turns < number - 80; turns += 10) await turn();
    await access.need(`shop/${number}`, nothing);
  });
  await Promise.all(going);
  assert.deepEqual([...ec2.ports], []);
});

it('closes later what it failed to close', async () => {
  await access.need('shop/web', port(80));
  ec2.failing = 1;
  await assert.rejects(access.need('shop/web', nothing), /the network is down/);
  assert.deepEqual([...ec2.ports], [80]);
  await access.need('shop/web', nothing);
  assert.deepEqual([...ec2.ports], []);
});

it('closes nothing in a group of which a binding cannot say what it needs, until it can', async () => {
  await access.need('a', port(80));
  await access.need('b', nothing, new Set([NODES]));
  await access.need('a', nothing);
  assert.deepEqual([...ec2.ports], [80]);
  await access.need('b', nothing);
  assert.deepEqual([...ec2.ports], []);
});
