/** The AWS CLI, of whatever version there is, against the lab's endpoint. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { collect } from '../../base/output.ts';
import { CREDENTIALS } from '../cloud.fixture.ts';
import { startLab } from './elbv2.fixture.ts';

test('the AWS CLI makes a load balancer, and is told what is wrong', async (t) => {
  const lab = await startLab(t);
  const env = {
    PATH: process.env.PATH,
    HOME: '/nonexistent',
    AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
    AWS_DEFAULT_REGION: 'us-east-1',
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_MAX_ATTEMPTS: '1',
  };
  const run = (...args: string[]) =>
    collect(spawn('aws', ['--endpoint-url', lab.cloud.endpoint, '--output', 'json', ...args], { env }));
  // biome-ignore lint/suspicious/noExplicitAny: whatever the CLI prints
  const aws = async (...args: string[]): Promise<any> => {
    const { status, stdout, stderr } = await run(...args);
    assert.equal(status, 0, stderr);
    return stdout === '' ? undefined : JSON.parse(stdout);
  };
  const subnets = ['--subnets', lab.subnetId, lab.otherSubnetId];
  const create = ['elbv2', 'create-load-balancer', '--name', 'web', '--scheme', 'internal', ...subnets];
  const [made, { CertificateArn }] = await Promise.all([
    aws(...create, '--tags', 'Key=team,Value=shop'),
    aws('acm', 'request-certificate', '--domain-name', 'web.test'),
  ]);
  await lab.clock.advance(0);
  await lab.cloud.settled();
  const arn: string = made.LoadBalancers[0].LoadBalancerArn;
  const respond =
    'Type=fixed-response,FixedResponseConfig={StatusCode=404,ContentType=text/plain,MessageBody=nothing}';
  const listener = ['--protocol', 'HTTP', '--port', '80', '--default-actions', respond];
  const { Listeners } = await aws('elbv2', 'create-listener', '--load-balancer-arn', arn, ...listener);
  const [tags, rules, certificates, wrong] = await Promise.all([
    aws('elbv2', 'describe-tags', '--resource-arns', arn),
    aws('elbv2', 'describe-rules', '--listener-arn', Listeners[0].ListenerArn),
    aws('acm', 'describe-certificate', '--certificate-arn', CertificateArn),
    run('elbv2', 'describe-load-balancers', '--names', 'none'),
    aws('elbv2', 'wait', 'load-balancer-available', '--load-balancer-arns', arn),
  ]);
  assert.deepEqual(tags.TagDescriptions, [{ ResourceArn: arn, Tags: [{ Key: 'team', Value: 'shop' }] }]);
  assert.equal(rules.Rules[0].Actions[0].FixedResponseConfig.MessageBody, 'nothing');
  assert.equal(certificates.Certificate.DomainName, 'web.test');
  assert.match(wrong.stderr, /\(LoadBalancerNotFound\).*Load balancers '\[none\]' not found/);
});
