import type { TargetDescription } from '@aws-sdk/client-elastic-load-balancing-v2';
import { contains, isIpv4, parseIpv4Cidr } from '@enid/ip';
import type { Draft } from 'immer';
import { AwsError } from '../../errors.ts';
import type { CloudState } from '../../state.ts';
import { healthOf } from '../health.ts';
import { checkRange, type Operations, required } from '../operation.ts';
import { find, userOf } from '../resources.ts';
import type { Target, TargetGroup } from '../state.ts';
import { zoneOfAddress } from '../zones.ts';

/** Where targets outside of the VPC may be: RFC 1918 and RFC 6598. */
const PRIVATE = ['10.0.0.0/8', '100.64.0.0/10', '172.16.0.0/12', '192.168.0.0/16'].map((cidr) =>
  parseIpv4Cidr(cidr),
);

const invalidTarget = (message: string) => new AwsError('InvalidTarget', message);

/** A target's key in its group. */
export const targetKey = ({ id, port }: Pick<Target, 'id' | 'port'>): string => `${id}:${port}`;

function instanceZone(state: CloudState, { vpcId }: TargetGroup, id: string): string {
  const instance = state.instances[id];
  if (!instance) throw invalidTarget(`The following targets are not valid instances: '${id}'`);
  if (instance.vpcId !== vpcId) {
    throw invalidTarget(`The following targets are not in the target group VPC '${vpcId}': '${id}'`);
  }
  if (instance.state === 'running') return instance.availabilityZone;
  throw invalidTarget(`The following targets are not in a running state and cannot be registered: '${id}'`);
}

function addressZone(
  state: CloudState,
  { vpcId }: TargetGroup,
  { Id: id = '', AvailabilityZone: zone }: TargetDescription,
): string {
  if (!isIpv4(id)) throw invalidTarget(`The following targets are not valid IP addresses: '${id}'`);
  const inside = state.vpcs[vpcId]?.cidrBlocks.some(({ cidr }) => contains(cidr, id));
  if (!inside) {
    if (!PRIVATE.some((cidr) => contains(cidr, id))) {
      throw invalidTarget(`The IP address '${id}' is not a valid target: it is in no private range`);
    }
    if (zone === 'all') return zone;
    throw invalidTarget(
      `The IP address '${id}' is outside of the VPC '${vpcId}': its Availability Zone must be 'all'`,
    );
  }
  if (zone === 'all') {
    throw invalidTarget(
      `You cannot specify 'all' as the Availability Zone of '${id}', which is in the VPC '${vpcId}'`,
    );
  }
  const found = zoneOfAddress(state, vpcId, id);
  if (found) return found;
  throw invalidTarget(`The IP address '${id}' is in no subnet of the VPC '${vpcId}'`);
}

const read = (group: Draft<TargetGroup>, { Id, Port }: TargetDescription): Pick<Target, 'id' | 'port'> => ({
  id: required(Id, 'A target ID'),
  port: checkRange(Port ?? group.port, 1, 65_535, 'Target port'),
});

export const operations: Operations = {
  RegisterTargets({ TargetGroupArn, Targets }, { state, quotas, now }) {
    const group = find(state, 'targetGroup', TargetGroupArn);
    for (const description of Targets) {
      const target = read(group, description);
      const key = targetKey(target);
      const known = group.targets[key];
      if (known && known.drainingSince === undefined) continue;
      group.targets[key] = {
        ...target,
        availabilityZone:
          group.targetType === 'instance'
            ? instanceZone(state, group as TargetGroup, target.id)
            : addressZone(state, group as TargetGroup, description),
        registeredAt: now.toISOString(),
      };
    }
    if (Object.keys(group.targets).length > quotas.targetsPerTargetGroup) {
      throw new AwsError(
        'TooManyTargets',
        `A target group has at most ${quotas.targetsPerTargetGroup} targets`,
      );
    }
    return {};
  },

  DeregisterTargets({ TargetGroupArn, Targets }, { state, now }) {
    const group = find(state, 'targetGroup', TargetGroupArn);
    const user = userOf(state, group);
    for (const description of Targets) {
      const key = targetKey(read(group, description));
      const target = group.targets[key];
      if (!target || target.drainingSince !== undefined) continue;
      if (user) target.drainingSince = now.toISOString();
      else delete group.targets[key];
    }
    return {};
  },

  DescribeTargetHealth({ TargetGroupArn, Targets }, { state }) {
    const group = find(state, 'targetGroup', TargetGroupArn);
    const user = userOf(state, group);
    const named = Targets?.map((description) => read(group, description));
    const unknown = (named ?? []).filter((target) => !group.targets[targetKey(target)]);
    const known = named
      ? named.flatMap((target) => group.targets[targetKey(target)] ?? [])
      : Object.values(group.targets);
    return {
      TargetHealthDescriptions: [
        ...known.map((target) => ({
          Target: { Id: target.id, Port: target.port, AvailabilityZone: target.availabilityZone },
          HealthCheckPort:
            group.healthCheck.port === 'traffic-port' ? String(target.port) : group.healthCheck.port,
          TargetHealth: healthOf(state, user, group as TargetGroup, target),
        })),
        ...unknown.map(({ id, port }) => ({
          Target: { Id: id, Port: port },
          TargetHealth: {
            State: 'unused' as const,
            Reason: 'Target.NotRegistered' as const,
            Description: 'Target is not registered to the target group',
          },
        })),
      ],
    };
  },
};
