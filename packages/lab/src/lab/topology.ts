import {
  type _InstanceType,
  AllocateAddressCommand,
  AssociateRouteTableCommand,
  AttachInternetGatewayCommand,
  AuthorizeSecurityGroupIngressCommand,
  CreateInternetGatewayCommand,
  CreateNatGatewayCommand,
  CreateRouteCommand,
  CreateRouteTableCommand,
  CreateSecurityGroupCommand,
  CreateSubnetCommand,
  CreateVpcCommand,
  type EC2Client,
  ModifySubnetAttributeCommand,
  type ResourceType,
  RunInstancesCommand,
  type Tag,
  TerminateInstancesCommand,
  waitUntilInstanceRunning,
  waitUntilInstanceTerminated,
  waitUntilNatGatewayAvailable,
} from '@aws-sdk/client-ec2';

/** What the VPC of a lab is made of; ids as EC2 gave them. */
export type Topology = {
  readonly vpcId: string;
  readonly securityGroupId: string;
  readonly natGatewayId: string;
  readonly subnets: readonly LabSubnet[];
};

export type LabSubnet = {
  readonly id: string;
  readonly name: string;
  readonly cidr: string;
  readonly availabilityZone: string;
  readonly public: boolean;
};

const VPC_CIDR = '10.0.0.0/16';

/** In the order in which nodes are spread over them: the first two nodes show both ways out of a VPC. */
const SUBNETS = [
  { name: 'public-a', cidr: '10.0.1.0/24', zone: 'a', public: true },
  { name: 'private-b', cidr: '10.0.12.0/24', zone: 'b', public: false },
  { name: 'public-b', cidr: '10.0.2.0/24', zone: 'b', public: true },
  { name: 'private-a', cidr: '10.0.11.0/24', zone: 'a', public: false },
] as const;

const WAIT = { minDelay: 1, maxDelay: 1, maxWaitTime: 60 };

const tagged = (resource: ResourceType, lab: string, name: string, more: Tag[] = []) => [
  {
    ResourceType: resource,
    Tags: [
      { Key: 'Name', Value: `${lab}/${name}` },
      { Key: `kubernetes.io/cluster/${lab}`, Value: 'owned' },
      ...more,
    ],
  },
];

/**
 * Builds the VPC of an EKS-like cluster through the EC2 API: a public and a private subnet in each of two zones,
 * an internet gateway, a NAT gateway, and one security group whose members reach each other.
 */
export async function createVpc(ec2: EC2Client, lab: string, region: string): Promise<Topology> {
  const { Vpc } = await ec2.send(
    new CreateVpcCommand({ CidrBlock: VPC_CIDR, TagSpecifications: tagged('vpc', lab, 'vpc') }),
  );
  const VpcId = Vpc!.VpcId!;
  const { InternetGateway } = await ec2.send(
    new CreateInternetGatewayCommand({ TagSpecifications: tagged('internet-gateway', lab, 'igw') }),
  );
  const GatewayId = InternetGateway!.InternetGatewayId!;
  await ec2.send(new AttachInternetGatewayCommand({ VpcId, InternetGatewayId: GatewayId }));

  const subnets: LabSubnet[] = [];
  for (const { name, cidr, zone, public: isPublic } of SUBNETS) {
    const { Subnet } = await ec2.send(
      new CreateSubnetCommand({
        VpcId,
        CidrBlock: cidr,
        AvailabilityZone: `${region}${zone}`,
        TagSpecifications: tagged('subnet', lab, name, [
          { Key: isPublic ? 'kubernetes.io/role/elb' : 'kubernetes.io/role/internal-elb', Value: '1' },
        ]),
      }),
    );
    const id = Subnet!.SubnetId!;
    if (isPublic) {
      await ec2.send(
        new ModifySubnetAttributeCommand({ SubnetId: id, MapPublicIpOnLaunch: { Value: true } }),
      );
    }
    subnets.push({ id, name, cidr, availabilityZone: `${region}${zone}`, public: isPublic });
  }

  const routeTable = async (
    name: string,
    isPublic: boolean,
    target: { GatewayId: string } | { NatGatewayId: string },
  ) => {
    const { RouteTable } = await ec2.send(
      new CreateRouteTableCommand({ VpcId, TagSpecifications: tagged('route-table', lab, name) }),
    );
    const RouteTableId = RouteTable!.RouteTableId!;
    await ec2.send(new CreateRouteCommand({ RouteTableId, DestinationCidrBlock: '0.0.0.0/0', ...target }));
    for (const subnet of subnets.filter((subnet) => subnet.public === isPublic)) {
      await ec2.send(new AssociateRouteTableCommand({ RouteTableId, SubnetId: subnet.id }));
    }
  };
  await routeTable('public', true, { GatewayId });
  const { AllocationId } = await ec2.send(
    new AllocateAddressCommand({ Domain: 'vpc', TagSpecifications: tagged('elastic-ip', lab, 'nat') }),
  );
  const { NatGateway } = await ec2.send(
    new CreateNatGatewayCommand({
      SubnetId: subnets.find((subnet) => subnet.public)!.id,
      AllocationId: AllocationId!,
      TagSpecifications: tagged('natgateway', lab, 'nat'),
    }),
  );
  const NatGatewayId = NatGateway!.NatGatewayId!;
  await waitUntilNatGatewayAvailable({ client: ec2, ...WAIT }, { NatGatewayIds: [NatGatewayId] });
  await routeTable('private', false, { NatGatewayId });

  const { GroupId } = await ec2.send(
    new CreateSecurityGroupCommand({
      VpcId,
      GroupName: `eks-cluster-sg-${lab}`,
      Description: 'Nodes and pods of the cluster reach each other',
      TagSpecifications: tagged('security-group', lab, 'cluster'),
    }),
  );
  await ec2.send(
    new AuthorizeSecurityGroupIngressCommand({
      GroupId,
      IpPermissions: [{ IpProtocol: '-1', UserIdGroupPairs: [{ GroupId }] }],
    }),
  );
  return { vpcId: VpcId, securityGroupId: GroupId!, natGatewayId: NatGatewayId, subnets };
}

/** Starts an instance in one of the subnets. @returns what it is known by, once it runs. */
export async function runInstance(
  ec2: EC2Client,
  topology: Topology,
  options: { lab: string; name: string; subnet: LabSubnet; instanceType: string },
): Promise<{ instanceId: string; dnsName: string; address: string }> {
  const { Instances } = await ec2.send(
    new RunInstancesCommand({
      MinCount: 1,
      MaxCount: 1,
      ImageId: 'ami-0123456789abcdef0',
      InstanceType: options.instanceType as _InstanceType,
      SubnetId: options.subnet.id,
      SecurityGroupIds: [topology.securityGroupId],
      IamInstanceProfile: { Name: 'enid-node' },
      TagSpecifications: tagged('instance', options.lab, options.name),
    }),
  );
  const { InstanceId, PrivateDnsName, PrivateIpAddress } = Instances![0]!;
  await waitUntilInstanceRunning({ client: ec2, ...WAIT }, { InstanceIds: [InstanceId!] });
  return { instanceId: InstanceId!, dnsName: PrivateDnsName!, address: PrivateIpAddress! };
}

/** Ends an instance; its ENIs go with it. */
export async function terminateInstance(ec2: EC2Client, instanceId: string): Promise<void> {
  const InstanceIds = [instanceId];
  await ec2.send(new TerminateInstancesCommand({ InstanceIds }));
  await waitUntilInstanceTerminated({ client: ec2, ...WAIT }, { InstanceIds });
}
