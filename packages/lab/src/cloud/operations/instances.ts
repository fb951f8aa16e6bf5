import type {
  _InstanceType,
  Instance as Ec2Instance,
  InstanceNetworkInterfaceSpecification,
  InstanceStateName,
  Reservation,
} from '@aws-sdk/client-ec2';
import type { Draft } from 'immer';
import { takePublicAddress } from '../addressing.ts';
import { Ec2Error, invalidCombination, invalidValue, missingParameter, refuseIpv6 } from '../errors.ts';
import { describe, type FilterTable } from '../filters.ts';
import { type InstanceType, instanceType } from '../instance-types.ts';
import { attachInterface, checkGroups, createInterface, releasePublicIp } from '../interfaces.ts';
import { privateDnsName, publicDnsName, zoneId } from '../names.ts';
import type { Context, Operations } from '../operation.ts';
import type { Input } from '../query/schema.ts';
import { find } from '../resources.ts';
import { type Instance, interfacesOf, type MetadataOptions, type NetworkInterface } from '../state.ts';
import { tagList, tagsFor } from '../tags.ts';
import { describeAddresses, describeGroups, describePublicIp, readAddresses } from './network-interfaces.ts';

/** The lab's instances are as today's images make them: IMDSv2 alone, and one hop. */
const METADATA_DEFAULTS: MetadataOptions = {
  httpTokens: 'required',
  httpPutResponseHopLimit: 1,
  httpEndpoint: 'enabled',
  instanceMetadataTags: 'disabled',
};

const DEFAULT_TYPE = 't3.medium';
const DEFAULT_ROLE = 'enid-node';

const STATE_CODES: Readonly<Record<Instance['state'], number>> = {
  pending: 0,
  running: 16,
  'shutting-down': 32,
  terminated: 48,
};

const describeState = (state: Instance['state']) => ({
  Code: STATE_CODES[state],
  Name: state as InstanceStateName,
});

const interfacesIn = ({ state }: Context, instance: Draft<Instance>) =>
  interfacesOf(state, instance.id) as Draft<NetworkInterface>[];

const filtersOf = (context: Context): FilterTable<Draft<Instance>> => {
  const { state } = context;
  const enis = (instance: Draft<Instance>) => interfacesIn(context, instance);
  const primary = (instance: Draft<Instance>) => enis(instance)[0];
  const publicIp = (instance: Draft<Instance>) => primary(instance)?.publicIps[instance.privateIp]?.publicIp;
  const groups = (instance: Draft<Instance>) => primary(instance)?.groups ?? [];
  return {
    'instance-id': (instance) => instance.id,
    'instance-type': (instance) => instance.type,
    'instance-state-name': (instance) => instance.state,
    'instance-state-code': (instance) => STATE_CODES[instance.state],
    'image-id': (instance) => instance.imageId,
    'availability-zone': (instance) => instance.availabilityZone,
    'client-token': (instance) => instance.clientToken,
    'key-name': (instance) => instance.keyName,
    'launch-index': (instance) => instance.launchIndex,
    'launch-time': (instance) => instance.launchTime,
    'reservation-id': (instance) => instance.reservationId,
    'owner-id': () => state.accountId,
    'subnet-id': (instance) => instance.subnetId,
    'vpc-id': (instance) => instance.vpcId,
    'private-ip-address': (instance) => instance.privateIp,
    'private-dns-name': (instance) => privateDnsName(state.region, instance.privateIp),
    'ip-address': publicIp,
    'dns-name': (instance) => {
      const address = publicIp(instance);
      return address && publicDnsName(state.region, address);
    },
    'source-dest-check': (instance) => primary(instance)?.sourceDestCheck,
    'instance.group-id': groups,
    'instance.group-name': (instance) => groups(instance).map((id) => state.securityGroups[id]?.name),
    'network-interface.network-interface-id': (instance) => enis(instance).map(({ id }) => id),
    'network-interface.addresses.private-ip-address': (instance) =>
      enis(instance).flatMap(({ primaryIp, secondaryIps }) => [primaryIp, ...secondaryIps]),
    'network-interface.subnet-id': (instance) => enis(instance).map(({ subnetId }) => subnetId),
    'metadata-options.http-tokens': (instance) => instance.metadataOptions.httpTokens,
  };
};

function describeMetadataOptions(options: MetadataOptions) {
  return {
    State: 'applied' as const,
    HttpTokens: options.httpTokens,
    HttpPutResponseHopLimit: options.httpPutResponseHopLimit,
    HttpEndpoint: options.httpEndpoint,
    HttpProtocolIpv6: 'disabled' as const,
    InstanceMetadataTags: options.instanceMetadataTags,
  };
}

function describeInstance(context: Context, instance: Draft<Instance>): Ec2Instance {
  const { state } = context;
  const enis = interfacesIn(context, instance);
  const publicIp = enis[0]?.publicIps[instance.privateIp]?.publicIp;
  const isThere = instance.state !== 'terminated';
  const { terminateTime } = instance;
  return {
    InstanceId: instance.id,
    ImageId: instance.imageId,
    InstanceType: instance.type as _InstanceType,
    AmiLaunchIndex: instance.launchIndex,
    Architecture: /^([a-z]+\d+g|a1\.)/.test(instance.type) ? 'arm64' : 'x86_64',
    ClientToken: instance.clientToken,
    EbsOptimized: false,
    EnaSupport: true,
    Hypervisor: 'xen',
    IamInstanceProfile: {
      Arn: `arn:aws:iam::${state.accountId}:instance-profile/${instance.iamRole}`,
      Id: 'AIPAENIDLAB0000000000',
    },
    KeyName: instance.keyName,
    LaunchTime: new Date(instance.launchTime),
    MetadataOptions: describeMetadataOptions(instance.metadataOptions),
    Monitoring: { State: 'disabled' },
    Placement: {
      AvailabilityZone: instance.availabilityZone,
      AvailabilityZoneId: zoneId(instance.availabilityZone),
      GroupName: '',
      Tenancy: 'default',
    },
    PlatformDetails: 'Linux/UNIX',
    PrivateDnsName: isThere ? privateDnsName(state.region, instance.privateIp) : '',
    PrivateIpAddress: isThere ? instance.privateIp : undefined,
    PublicDnsName: publicIp === undefined ? '' : publicDnsName(state.region, publicIp),
    PublicIpAddress: publicIp,
    RootDeviceType: 'ebs',
    SecurityGroups: enis[0] && describeGroups(context, enis[0]),
    SourceDestCheck: enis[0]?.sourceDestCheck,
    State: describeState(instance.state),
    StateTransitionReason:
      terminateTime === undefined
        ? ''
        : `User initiated (${terminateTime.slice(0, 19).replace('T', ' ')} GMT)`,
    SubnetId: isThere ? instance.subnetId : undefined,
    VpcId: isThere ? instance.vpcId : undefined,
    VirtualizationType: 'hvm',
    NetworkInterfaces: enis.map((eni) => ({
      NetworkInterfaceId: eni.id,
      InterfaceType: eni.kind,
      Status: 'in-use' as const,
      SubnetId: eni.subnetId,
      VpcId: eni.vpcId,
      OwnerId: state.accountId,
      MacAddress: eni.mac,
      Description: eni.description,
      SourceDestCheck: eni.sourceDestCheck,
      Groups: describeGroups(context, eni),
      PrivateIpAddress: eni.primaryIp,
      PrivateDnsName: privateDnsName(state.region, eni.primaryIp),
      PrivateIpAddresses: describeAddresses(context, eni),
      Ipv4Prefixes: eni.prefixes.map((Ipv4Prefix) => ({ Ipv4Prefix })),
      Ipv6Addresses: [],
      Association: eni.publicIps[eni.primaryIp] && describePublicIp(context, eni.publicIps[eni.primaryIp]!),
      Attachment: {
        AttachmentId: eni.attachment!.id,
        AttachTime: new Date(eni.attachment!.attachTime),
        DeleteOnTermination: eni.attachment!.deleteOnTermination,
        DeviceIndex: eni.attachment!.deviceIndex,
        NetworkCardIndex: eni.attachment!.networkCardIndex,
        Status: eni.attachment!.status,
      },
    })),
    Tags: tagList(instance.tags),
  };
}

function describeReservation(context: Context, instances: readonly Draft<Instance>[]): Reservation {
  return {
    ReservationId: instances[0]!.reservationId,
    OwnerId: context.state.accountId,
    Groups: [],
    Instances: instances.map((instance) => describeInstance(context, instance)),
  };
}

type MetadataInput = {
  HttpTokens?: string | undefined;
  HttpPutResponseHopLimit?: number | undefined;
  HttpEndpoint?: string | undefined;
  InstanceMetadataTags?: string | undefined;
};

function readMetadataOptions(current: MetadataOptions, input: MetadataInput): MetadataOptions {
  const oneOf = <T extends string>(
    parameter: string,
    text: string | undefined,
    values: readonly T[],
    old: T,
  ): T => {
    if (text === undefined) return old;
    const value = values.find((known) => known === text);
    if (value !== undefined) return value;
    throw invalidValue(text, parameter, `Use ${values.join(' or ')}.`);
  };
  const { HttpPutResponseHopLimit: hopLimit = current.httpPutResponseHopLimit } = input;
  if (!Number.isInteger(hopLimit) || hopLimit < 1 || hopLimit > 64) {
    throw invalidValue(hopLimit, 'HttpPutResponseHopLimit', 'Use a number from 1 to 64.');
  }
  const switches = ['enabled', 'disabled'] as const;
  return {
    httpTokens: oneOf('HttpTokens', input.HttpTokens, ['required', 'optional'], current.httpTokens),
    httpPutResponseHopLimit: hopLimit,
    httpEndpoint: oneOf('HttpEndpoint', input.HttpEndpoint, switches, current.httpEndpoint),
    instanceMetadataTags: oneOf(
      'InstanceMetadataTags',
      input.InstanceMetadataTags,
      switches,
      current.instanceMetadataTags,
    ),
  };
}

type Launch = Input<'RunInstances'>;

/** The interfaces of a launch: those that it lists, or one that its own parameters tell of. */
function interfaceSpecifications(context: Context, input: Launch): InstanceNetworkInterfaceSpecification[] {
  const { state } = context;
  if (input.NetworkInterfaces?.length) {
    if (input.SubnetId !== undefined || input.SecurityGroupIds?.length || input.SecurityGroups?.length) {
      throw invalidCombination(
        'Network interfaces and an instance-level subnet ID or security groups may not be specified on the same request',
      );
    }
    return input.NetworkInterfaces;
  }
  if (input.SubnetId === undefined) {
    throw new Ec2Error('MissingInput', 'No default VPC for this user: specify a subnet with SubnetId');
  }
  const { vpcId } = find(state, 'subnet', input.SubnetId);
  const named = (input.SecurityGroups ?? []).map((name) => {
    const group = Object.values(state.securityGroups).find((one) => one.vpcId === vpcId && one.name === name);
    if (group) return group.id;
    throw new Ec2Error(
      'InvalidGroup.NotFound',
      `The security group '${name}' does not exist in VPC '${vpcId}'`,
    );
  });
  return [
    {
      DeviceIndex: 0,
      SubnetId: input.SubnetId,
      Groups: [...(input.SecurityGroupIds ?? []), ...named],
      PrivateIpAddress: input.PrivateIpAddress,
    },
  ];
}

/** Makes, or finds, one interface of an instance that is launched, and attaches it. */
function launchInterface(
  context: Context,
  instanceId: string,
  type: InstanceType,
  specification: InstanceNetworkInterfaceSpecification,
  tags: Record<string, string>,
): Draft<NetworkInterface> {
  const { state } = context;
  const { DeviceIndex: index, NetworkInterfaceId: id, SubnetId: subnetId } = specification;
  if (index === undefined) throw missingParameter('NetworkInterface.DeviceIndex');
  if (id === undefined && subnetId === undefined) throw missingParameter('NetworkInterface.SubnetId');
  const networkCard = specification.NetworkCardIndex;
  if (id !== undefined) {
    const eni = find(state, 'network-interface', id);
    if (eni.attachment || eni.kind !== 'interface') {
      throw new Ec2Error('InvalidNetworkInterface.InUse', `Interface: [${id}] in use.`);
    }
    attachInterface(context, eni, instanceId, type, { index, networkCard, deleteOnTermination: false });
    return eni;
  }
  const subnet = find(state, 'subnet', subnetId!);
  const eni = createInterface(context, subnet, {
    description: specification.Description,
    groups: checkGroups(context, specification.Groups, { vpcId: subnet.vpcId, subnetId: subnet.id }),
    addresses: readAddresses(specification),
    tags,
  });
  attachInterface(context, eni, instanceId, type, {
    index,
    networkCard,
    deleteOnTermination: specification.DeleteOnTermination ?? true,
  });
  const isPublic = specification.AssociatePublicIpAddress ?? subnet.mapPublicIpOnLaunch;
  if (index === 0 && isPublic) eni.publicIps[eni.primaryIp] = { publicIp: takePublicAddress(state) };
  return eni;
}

function launch(
  context: Context,
  input: Launch,
  reservationId: string,
  launchIndex: number,
): Draft<Instance> {
  const { state, quotas } = context;
  const type = instanceType(input.InstanceType ?? DEFAULT_TYPE);
  const kinds = ['instance', 'network-interface', 'volume', 'spot-instances-request'];
  const id = context.newId('i');
  const specifications = interfaceSpecifications(context, input);
  const enis = specifications.map((specification) =>
    launchInterface(
      context,
      id,
      type,
      specification,
      tagsFor('network-interface', input.TagSpecifications, quotas, kinds),
    ),
  );
  const primary = enis.find(({ attachment }) => attachment?.deviceIndex === 0);
  if (!primary) throw missingParameter('NetworkInterface with DeviceIndex 0');
  if (enis.some((eni) => eni.vpcId !== primary.vpcId || eni.availabilityZone !== primary.availabilityZone)) {
    throw invalidCombination(
      'All network interfaces of an instance must be in the same availability zone and VPC',
    );
  }
  const zone = input.Placement?.AvailabilityZone;
  if (zone !== undefined && zone !== primary.availabilityZone) {
    throw invalidValue(zone, 'Placement.AvailabilityZone', `The subnet is in ${primary.availabilityZone}.`);
  }
  const {
    IamInstanceProfile: profile,
    ClientToken: clientToken,
    KeyName: keyName,
    UserData: userData,
  } = input;
  state.instances[id] = {
    id,
    reservationId,
    launchIndex,
    ...(clientToken !== undefined && { clientToken }),
    type: type.name,
    imageId: input.ImageId!,
    vpcId: primary.vpcId,
    subnetId: primary.subnetId,
    availabilityZone: primary.availabilityZone,
    state: 'pending',
    launchTime: context.now.toISOString(),
    privateIp: primary.primaryIp,
    ...(keyName !== undefined && { keyName }),
    ...(userData !== undefined && { userData }),
    iamRole: profile?.Name ?? profile?.Arn?.split('/').at(-1) ?? DEFAULT_ROLE,
    metadataOptions: readMetadataOptions(METADATA_DEFAULTS, input.MetadataOptions ?? {}),
    tags: tagsFor('instance', input.TagSpecifications, quotas, kinds),
  };
  return state.instances[id];
}

/** Takes an instance down: its interfaces go with it, or come free, when it is `terminated`. */
function terminate(context: Context, instance: Draft<Instance>): void {
  if (instance.state === 'terminated' || instance.state === 'shutting-down') return;
  instance.state = 'shutting-down';
  instance.terminateTime = context.now.toISOString();
  for (const eni of interfacesIn(context, instance)) {
    eni.attachment!.status = 'detaching';
    for (const [privateIp, { allocationId }] of Object.entries(eni.publicIps)) {
      if (allocationId === undefined) releasePublicIp(context, eni, privateIp);
    }
  }
}

export const operations: Operations = {
  RunInstances(input, context) {
    const { state } = context;
    const { ClientToken: token, MinCount: min, MaxCount: max, ImageId: imageId } = input;
    const again = Object.values(state.instances).filter(
      (instance) => token && instance.clientToken === token,
    );
    if (again.length > 0) return describeReservation(context, again);
    for (const part of [input, ...(input.NetworkInterfaces ?? [])]) refuseIpv6(part);
    if (imageId === undefined) throw missingParameter('ImageId');
    if (!/^ami-[0-9a-f]+$/.test(imageId)) {
      throw new Ec2Error('InvalidAMIID.Malformed', `Invalid id: "${imageId}" (expecting "ami-...")`);
    }
    if (min < 1 || max < min)
      throw invalidValue(`${min}, ${max}`, 'MinCount, MaxCount', 'Use 1 or more, the least first.');
    const reservationId = context.newId('r');
    const instances = Array.from({ length: max }, (_, index) => launch(context, input, reservationId, index));
    return describeReservation(context, instances);
  },

  DescribeInstances(input, context) {
    const { items, nextToken } = describe(
      context.state,
      'instance',
      input.InstanceIds,
      input,
      filtersOf(context),
    );
    const reservations = Map.groupBy(items, ({ reservationId }) => reservationId);
    return {
      Reservations: [...reservations.values()].map((instances) => describeReservation(context, instances)),
      ...nextToken,
    };
  },

  DescribeInstanceStatus(input, context) {
    const { items, nextToken } = describe(
      context.state,
      'instance',
      input.InstanceIds,
      input,
      filtersOf(context),
    );
    const shown = items.filter(({ state }) => input.IncludeAllInstances || state === 'running');
    const ok = (isRunning: boolean) => ({
      Status: isRunning ? ('ok' as const) : ('not-applicable' as const),
    });
    return {
      InstanceStatuses: shown.map((instance) => ({
        InstanceId: instance.id,
        AvailabilityZone: instance.availabilityZone,
        InstanceState: describeState(instance.state),
        InstanceStatus: ok(instance.state === 'running'),
        SystemStatus: ok(instance.state === 'running'),
      })),
      ...nextToken,
    };
  },

  TerminateInstances({ InstanceIds }, context) {
    const instances = InstanceIds.map((id) => find(context.state, 'instance', id));
    return {
      TerminatingInstances: instances.map((instance) => {
        const PreviousState = describeState(instance.state);
        terminate(context, instance);
        return { InstanceId: instance.id, PreviousState, CurrentState: describeState(instance.state) };
      }),
    };
  },

  ModifyInstanceAttribute(input, context) {
    const instance = find(context.state, 'instance', input.InstanceId);
    const enis = interfacesIn(context, instance);
    if (input.SourceDestCheck?.Value === undefined && !input.Groups?.length) {
      throw invalidCombination(
        'The attributes of an instance that can be changed here: SourceDestCheck, Groups',
      );
    }
    if (enis.length !== 1) {
      throw new Ec2Error(
        'InvalidInstanceID',
        `There are ${enis.length} interfaces attached to instance '${instance.id}'. Please specify an interface ID ` +
          'for the operation instead: ModifyNetworkInterfaceAttribute.',
      );
    }
    const [eni] = enis as [Draft<NetworkInterface>];
    eni.sourceDestCheck = input.SourceDestCheck?.Value ?? eni.sourceDestCheck;
    if (input.Groups?.length) eni.groups = checkGroups(context, input.Groups, eni);
    return {};
  },

  ModifyInstanceMetadataOptions(input, { state }) {
    const instance = find(state, 'instance', input.InstanceId);
    instance.metadataOptions = readMetadataOptions(instance.metadataOptions, input);
    return {
      InstanceId: instance.id,
      InstanceMetadataOptions: describeMetadataOptions(instance.metadataOptions),
    };
  },
};
