/** Load balancers for tests: a network with two zones, clients of ELBv2 and ACM, and what they are asked most. */
import type { TestContext } from 'node:test';
import { ACMClient, DescribeCertificateCommand, RequestCertificateCommand } from '@aws-sdk/client-acm';
import {
  CreateListenerCommand,
  type CreateListenerCommandInput,
  CreateLoadBalancerCommand,
  type CreateLoadBalancerCommandInput,
  CreateTargetGroupCommand,
  type CreateTargetGroupCommandInput,
  ElasticLoadBalancingV2Client,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { until } from '../../base/until.ts';
import { buildNetwork, CREDENTIALS, type Network, startCloud, type TestCloud } from '../cloud.fixture.ts';
import type { CloudOptions } from '../cloud.ts';

export type TestLab = TestCloud &
  Network & { readonly elb: ElasticLoadBalancingV2Client; readonly acm: ACMClient };

/** Clients of a cloud that do not try again. */
export function elbClients({ endpoint }: { readonly endpoint: string }) {
  const settings = { endpoint, region: 'us-east-1', credentials: CREDENTIALS, maxAttempts: 1 };
  return { elb: new ElasticLoadBalancingV2Client(settings), acm: new ACMClient(settings) };
}

/** A cloud with a network, which runs until the test is over. */
export async function startLab(t: TestContext, options: Partial<CloudOptions> = {}): Promise<TestLab> {
  const started = await startCloud(t, options);
  const clients = elbClients(started.cloud);
  t.after(() => {
    clients.elb.destroy();
    clients.acm.destroy();
  });
  return { ...started, ...(await buildNetwork(started.ec2)), ...clients };
}

/** Makes a load balancer in both zones, internal unless it is to be otherwise. @returns its description. */
export async function createLoadBalancer(lab: TestLab, more: Partial<CreateLoadBalancerCommandInput> = {}) {
  const Subnets = more.SubnetMappings ? undefined : [lab.subnetId, lab.otherSubnetId];
  const input = { Name: 'web', Scheme: 'internal' as const, Subnets, ...more };
  const { LoadBalancers } = await lab.elb.send(new CreateLoadBalancerCommand(input));
  await lab.clock.advance(0);
  return LoadBalancers![0]!;
}

/** Makes a target group of HTTP and ip targets. @returns its ARN. */
export async function createTargetGroup(
  { elb, vpcId }: TestLab,
  Name: string,
  more: Partial<CreateTargetGroupCommandInput> = {},
): Promise<string> {
  const input = {
    Name,
    VpcId: vpcId,
    Protocol: 'HTTP' as const,
    Port: 80,
    TargetType: 'ip' as const,
    ...more,
  };
  const { TargetGroups } = await elb.send(new CreateTargetGroupCommand(input));
  return TargetGroups![0]!.TargetGroupArn!;
}

export const forwardTo = (TargetGroupArn: string) => [{ Type: 'forward' as const, TargetGroupArn }];
export const respond = (StatusCode = '404') => [
  { Type: 'fixed-response' as const, FixedResponseConfig: { StatusCode } },
];

/** Makes a listener of HTTP on port 80 that answers 404. @returns its ARN. */
export async function createListener(
  { elb }: TestLab,
  LoadBalancerArn: string,
  more: Partial<CreateListenerCommandInput> = {},
): Promise<string> {
  const { Listeners } = await elb.send(
    new CreateListenerCommand({
      LoadBalancerArn,
      Protocol: 'HTTP',
      Port: 80,
      DefaultActions: respond(),
      ...more,
    }),
  );
  return Listeners![0]!.ListenerArn!;
}

/** Requests a certificate, and lets the time pass that it takes. @returns its ARN. */
export async function requestCertificate(
  { acm, clock }: TestLab,
  DomainName: string,
  SubjectAlternativeNames?: string[],
): Promise<string> {
  const { CertificateArn } = await acm.send(
    new RequestCertificateCommand({ DomainName, SubjectAlternativeNames, ValidationMethod: 'DNS' }),
  );
  await clock.advance(0);
  await until(
    () => acm.send(new DescribeCertificateCommand({ CertificateArn })),
    ({ Certificate }) => Certificate?.Status === 'ISSUED',
    'the certificate',
  );
  return CertificateArn!;
}
