/** Amazon's conventions about ENIs: whose they are, how they are tagged, which subnet a new one goes to. */
import type { Ec2Eni, Ec2Subnet, Tags } from '../aws/ec2.ts';
import type { MetadataEni } from '../aws/metadata.ts';
import type { NodeEni } from '../seams.ts';

export const TAG = {
  instance: 'node.k8s.amazonaws.com/instance_id',
  createdAt: 'node.k8s.amazonaws.com/createdAt',
  noManage: 'node.k8s.amazonaws.com/no_manage',
  cluster: 'cluster.k8s.amazonaws.com/name',
  owner: 'eks:eni:owner',
  subnetRole: 'kubernetes.io/role/cni',
  subnetCluster: 'cni.networking.k8s.aws/cluster/',
} as const;

/** Description of the ENIs that agents make, less the instance's id. */
export const DESCRIPTION_PREFIX = 'aws-K8S-';

const MAIN_TABLE = 254;

/** Whether pods may use the ENI. The primary one always is used; those of further network cards never are. */
export function isManaged(eni: Ec2Eni, instanceId: string, manageUntagged: boolean): boolean {
  const { attachment, tags, type } = eni;
  if (attachment?.networkCard !== 0) return false;
  if (attachment.deviceNumber === 0) return true;
  if (type !== 'interface') return false;
  const noManage = tags[TAG.noManage];
  if (noManage !== undefined) return noManage !== 'true';
  return tags[TAG.instance] === instanceId || manageUntagged;
}

/** Whether an agent on this instance made the ENI, so that an agent may delete it. */
export function isOwn(eni: Ec2Eni, instanceId: string): boolean {
  return eni.tags[TAG.instance] === instanceId && eni.description.startsWith(DESCRIPTION_PREFIX);
}

/** Tags of a new ENI. */
export function tagsForEni(node: {
  instanceId: string;
  clusterName?: string | undefined;
  additional: Tags;
  now: number;
}): Tags {
  return {
    ...node.additional,
    [TAG.instance]: node.instanceId,
    [TAG.createdAt]: new Date(node.now).toISOString(),
    [TAG.owner]: 'amazon-vpc-cni',
    ...(node.clusterName && { [TAG.cluster]: node.clusterName }),
  };
}

/**
 * Subnets that a new ENI may go to, the one with most room first. The primary ENI's subnet belongs to them unless
 * it is tagged 0, others when they are tagged 1; a subnet that names clusters is for those alone.
 */
export function subnetOrder(
  subnets: readonly Ec2Subnet[],
  primarySubnetId: string,
  clusterName: string | undefined,
): string[] {
  const usable = subnets.filter(({ id, tags }) => {
    const clusters = Object.keys(tags).filter((key) => key.startsWith(TAG.subnetCluster));
    if (clusters.length > 0 && !clusters.includes(`${TAG.subnetCluster}${clusterName}`)) return false;
    const role = tags[TAG.subnetRole];
    return role === undefined ? id === primarySubnetId : role !== '0';
  });
  return usable.sort((a, b) => b.freeAddresses - a.freeAddresses).map(({ id }) => id);
}

/** The subnets whose addresses pods are not to have. */
export function excludedSubnets(subnets: readonly Ec2Subnet[]): Set<string> {
  return new Set(subnets.filter(({ tags }) => tags[TAG.subnetRole] === '0').map(({ id }) => id));
}

/** The ENI as the node network knows it. */
export function nodeEniOf(eni: MetadataEni): NodeEni {
  const primary = eni.deviceNumber === 0;
  return {
    id: eni.id,
    mac: eni.mac,
    deviceNumber: eni.deviceNumber,
    primary,
    primaryIp: eni.primaryIp,
    subnetCidr: eni.subnetCidr,
    table: primary ? MAIN_TABLE : eni.deviceNumber + 1,
  };
}
