import type { RoleCredentials } from './credentials.ts';
import { privateDnsName, publicDnsName, zoneId } from './names.ts';
import { type CloudState, type Instance, interfacesOf, type NetworkInterface } from './state.ts';

/** Instance metadata: a text, or a directory of it. What is undefined is not there. */
export type Metadata = string | undefined | { readonly [name: string]: Metadata };

const lines = (values: readonly string[]): string | undefined =>
  values.length > 0 ? values.join('\n') : undefined;

const groupNames = (state: CloudState, { groups }: NetworkInterface): string | undefined =>
  lines(groups.map((id) => state.securityGroups[id]!.name));

function describeInterface(state: CloudState, eni: NetworkInterface): Metadata {
  const subnet = state.subnets[eni.subnetId]!;
  const vpc = state.vpcs[eni.vpcId]!;
  const publicIps = Object.entries(eni.publicIps);
  const primaryPublicIp = eni.publicIps[eni.primaryIp]?.publicIp;
  return {
    'device-number': String(eni.attachment!.deviceIndex),
    'interface-id': eni.id,
    'ipv4-associations':
      publicIps.length > 0
        ? Object.fromEntries(publicIps.map(([privateIp, { publicIp }]) => [publicIp, privateIp]))
        : undefined,
    'ipv4-prefix': lines(eni.prefixes),
    'local-hostname': privateDnsName(state.region, eni.primaryIp),
    'local-ipv4s': lines([eni.primaryIp, ...eni.secondaryIps]),
    mac: eni.mac,
    'network-card': String(eni.attachment!.networkCardIndex),
    'owner-id': state.accountId,
    'public-hostname': primaryPublicIp && publicDnsName(state.region, primaryPublicIp),
    'public-ipv4s': lines(publicIps.map(([, { publicIp }]) => publicIp)),
    'security-group-ids': lines(eni.groups),
    'security-groups': groupNames(state, eni),
    'subnet-id': eni.subnetId,
    'subnet-ipv4-cidr-block': subnet.cidr,
    'vpc-id': eni.vpcId,
    'vpc-ipv4-cidr-block': vpc.cidrBlocks[0]!.cidr,
    'vpc-ipv4-cidr-blocks': lines(vpc.cidrBlocks.map(({ cidr }) => cidr)),
  };
}

/** The interfaces to show: as they were, but an instance never lacks the interface that it was launched with. */
function shownInterfaces(
  now: CloudState,
  past: CloudState,
  instanceId: string,
): [CloudState, NetworkInterface][] {
  const attached = (state: CloudState) =>
    interfacesOf(state, instanceId).filter(({ attachment }) => attachment?.status === 'attached');
  const old = attached(past);
  const shown = old.map((eni): [CloudState, NetworkInterface] => [past, eni]);
  const [primary] = attached(now);
  const lacksPrimary = primary?.attachment?.deviceIndex === 0 && !old.some(({ id }) => id === primary.id);
  return lacksPrimary ? [[now, primary], ...shown] : shown;
}

const asTime = (time: Date): string => `${time.toISOString().slice(0, 19)}Z`;

/**
 * The metadata tree of an instance, below `/latest`:
 * https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-metadata.html#instancemetadata-data-categories
 * @param options `past`: the account as it was some time ago: interfaces and their addresses are shown as they were.
 */
export function metadataOf(
  instance: Instance,
  { now, past, credentials }: { now: CloudState; past: CloudState; credentials: RoleCredentials },
): Metadata {
  const { region, accountId } = now;
  const hostname = privateDnsName(region, instance.privateIp);
  const interfaces = shownInterfaces(now, past, instance.id);
  const [primary] = interfaces;
  const publicIp = primary?.[1].publicIps[instance.privateIp]?.publicIp;
  const profileArn = `arn:aws:iam::${accountId}:instance-profile/${instance.iamRole}`;
  return {
    dynamic: {
      'instance-identity': {
        document: JSON.stringify(
          {
            accountId,
            architecture: 'x86_64',
            availabilityZone: instance.availabilityZone,
            imageId: instance.imageId,
            instanceId: instance.id,
            instanceType: instance.type,
            pendingTime: asTime(new Date(instance.launchTime)),
            privateIp: instance.privateIp,
            region,
            version: '2017-09-30',
          },
          null,
          2,
        ),
      },
    },
    'meta-data': {
      'ami-id': instance.imageId,
      'ami-launch-index': String(instance.launchIndex),
      hostname,
      iam: {
        info: JSON.stringify(
          {
            Code: 'Success',
            LastUpdated: asTime(credentials.issued),
            InstanceProfileArn: profileArn,
            InstanceProfileId: 'AIPAENIDLAB0000000000',
          },
          null,
          2,
        ),
        'security-credentials': {
          [instance.iamRole]: JSON.stringify(
            {
              Code: 'Success',
              LastUpdated: asTime(credentials.issued),
              Type: 'AWS-HMAC',
              AccessKeyId: credentials.accessKeyId,
              SecretAccessKey: credentials.secretAccessKey,
              Token: credentials.sessionToken,
              Expiration: asTime(credentials.expiration),
            },
            null,
            2,
          ),
        },
      },
      'instance-action': 'none',
      'instance-id': instance.id,
      'instance-life-cycle': 'on-demand',
      'instance-type': instance.type,
      'local-hostname': hostname,
      'local-ipv4': instance.privateIp,
      mac: primary?.[1].mac,
      network: {
        interfaces: {
          macs: Object.fromEntries(
            interfaces.map(([state, eni]) => [eni.mac, describeInterface(state, eni)]),
          ),
        },
      },
      placement: {
        'availability-zone': instance.availabilityZone,
        'availability-zone-id': zoneId(instance.availabilityZone),
        region,
      },
      'public-hostname': publicIp && publicDnsName(region, publicIp),
      'public-ipv4': publicIp,
      'reservation-id': instance.reservationId,
      'security-groups': primary && groupNames(...primary),
      services: { domain: 'amazonaws.com', partition: 'aws' },
      tags:
        instance.metadataOptions.instanceMetadataTags === 'enabled'
          ? { instance: { ...instance.tags } }
          : undefined,
    },
    'user-data':
      instance.userData === undefined ? undefined : Buffer.from(instance.userData, 'base64').toString(),
  };
}

/**
 * What a path of the tree answers: a text as it is; a directory as its names, with a slash after those that are
 * directories themselves.
 * @returns undefined when there is nothing.
 */
export function lookUp(root: Metadata, path: string): string | undefined {
  let found = root;
  for (const name of path.split('/').filter((part) => part !== '')) {
    if (typeof found !== 'object' || !Object.hasOwn(found, name)) return undefined;
    found = found[name];
  }
  if (typeof found !== 'object') return found;
  return Object.entries(found)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => (typeof value === 'object' ? `${name}/` : name))
    .sort()
    .join('\n');
}
