import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { suite, test } from 'node:test';
import * as acm from '@aws-sdk/client-acm';
import * as elb from '@aws-sdk/client-elastic-load-balancing-v2';
import { CertificateAuthority } from '../../pki/index.ts';
import {
  createListener,
  createLoadBalancer,
  requestCertificate,
  startLab,
  type TestLab,
} from '../elbv2/elbv2.fixture.ts';

const describe = async ({ acm: client }: TestLab, CertificateArn: string) =>
  (await client.send(new acm.DescribeCertificateCommand({ CertificateArn }))).Certificate!;

async function credential(...hosts: [string, ...string[]]) {
  const { authority } = await CertificateAuthority.create('an authority of the user');
  const { certificate, key } = await authority.issueServer(hosts);
  return {
    certificate: Buffer.from(certificate),
    key: Buffer.from(key),
    chain: Buffer.from(authority.certificate),
  };
}

suite('certificates', () => {
  test('are issued when they are requested, by one authority', async (t) => {
    const lab = await startLab(t);
    const first = await requestCertificate(lab, 'example.com', ['*.example.com']);
    const second = await requestCertificate(lab, 'other.test');
    const detail = await describe(lab, first);
    assert.deepEqual(
      [detail.DomainName, detail.SubjectAlternativeNames, detail.Type, detail.InUseBy, detail.KeyAlgorithm],
      ['example.com', ['example.com', '*.example.com'], 'AMAZON_ISSUED', [], 'EC_prime256v1'],
    );
    for (const CertificateArn of [first, second]) {
      const { Certificate, CertificateChain } = await lab.acm.send(
        new acm.GetCertificateCommand({ CertificateArn }),
      );
      const [leaf, root] = [new X509Certificate(Certificate!), new X509Certificate(CertificateChain!)];
      assert.ok(leaf.verify(root.publicKey));
      assert.equal(
        root.fingerprint256,
        new X509Certificate(lab.cloud.state.certificateAuthority!.certificate).fingerprint256,
      );
    }
  });

  test('are used by listeners, and not deleted then', async (t) => {
    const lab = await startLab(t);
    const { LoadBalancerArn } = await createLoadBalancer(lab);
    const { certificate, key, chain } = await credential('web.test', 'www.web.test');
    const { CertificateArn } = await lab.acm.send(
      new acm.ImportCertificateCommand({
        Certificate: certificate,
        PrivateKey: key,
        CertificateChain: chain,
      }),
    );
    const other = await requestCertificate(lab, 'other.test');
    const listener = await createListener(lab, LoadBalancerArn!, {
      Protocol: 'HTTPS',
      Port: 443,
      Certificates: [{ CertificateArn }],
    });
    await lab.elb.send(
      new elb.AddListenerCertificatesCommand({
        ListenerArn: listener,
        Certificates: [{ CertificateArn: other }],
      }),
    );
    const { Certificates } = await lab.elb.send(
      new elb.DescribeListenerCertificatesCommand({ ListenerArn: listener }),
    );
    assert.deepEqual(
      Certificates!.map((found) => [found.CertificateArn, found.IsDefault]).sort(),
      [
        [CertificateArn, true],
        [other, false],
      ].sort(),
    );
    const { Listeners } = await lab.elb.send(new elb.DescribeListenersCommand({ ListenerArns: [listener] }));
    assert.deepEqual(Listeners![0]!.Certificates, [{ CertificateArn }]);
    assert.equal(Listeners![0]!.SslPolicy, 'ELBSecurityPolicy-2016-08');
    assert.deepEqual((await describe(lab, other)).InUseBy, [LoadBalancerArn]);
    for (const Command of [elb.AddListenerCertificatesCommand, elb.RemoveListenerCertificatesCommand]) {
      const Certificates = [{ CertificateArn: other }, { CertificateArn }];
      await assert.rejects(lab.elb.send(new Command({ ListenerArn: listener, Certificates }) as never), {
        name: 'ValidationError',
        message: /one certificate per call/,
      });
    }
    await assert.rejects(lab.acm.send(new acm.DeleteCertificateCommand({ CertificateArn })), {
      name: 'ResourceInUseException',
    });
    const remove = (arn: string) =>
      lab.elb.send(
        new elb.RemoveListenerCertificatesCommand({
          ListenerArn: listener,
          Certificates: [{ CertificateArn: arn }],
        }),
      );
    await assert.rejects(remove(CertificateArn!), { name: 'OperationNotPermittedException' });
    await remove(other);
    await lab.acm.send(new acm.DeleteCertificateCommand({ CertificateArn: other }));
    const { CertificateSummaryList } = await lab.acm.send(
      new acm.ListCertificatesCommand({
        CertificateStatuses: ['ISSUED'],
        Includes: { keyTypes: ['EC_prime256v1'] },
      }),
    );
    assert.deepEqual(
      CertificateSummaryList!.map((found) => [found.CertificateArn, found.SubjectAlternativeNameSummaries]),
      [[CertificateArn, ['web.test', 'www.web.test']]],
    );
  });

  test('are imported with their own key alone', async (t) => {
    const lab = await startLab(t);
    const [one, two] = [await credential('one.test'), await credential('two.test')];
    const bring = (Certificate: Buffer, PrivateKey: Buffer) =>
      lab.acm.send(new acm.ImportCertificateCommand({ Certificate, PrivateKey }));
    await assert.rejects(bring(one.certificate, two.key), {
      name: 'ValidationException',
      message: /does not match/,
    });
    await assert.rejects(bring(Buffer.from('none'), one.key), { name: 'ValidationException' });
    await assert.rejects(bring(one.certificate, Buffer.from('none')), { name: 'ValidationException' });
  });

  test('are not used before they are issued', async (t) => {
    const lab = await startLab(t, { settings: { certificateDelayMs: 500 } });
    const { CertificateArn } = await lab.acm.send(
      new acm.RequestCertificateCommand({ DomainName: 'slow.test' }),
    );
    const { LoadBalancerArn } = await createLoadBalancer(lab);
    const secure = { Protocol: 'HTTPS' as const, Certificates: [{ CertificateArn }] };
    await assert.rejects(createListener(lab, LoadBalancerArn!, secure), { name: 'UnsupportedCertificate' });
    await assert.rejects(lab.acm.send(new acm.GetCertificateCommand({ CertificateArn })), {
      name: 'RequestInProgressException',
    });
    await assert.rejects(lab.acm.send(new acm.RequestCertificateCommand({ DomainName: 'no domain' })), {
      name: 'ValidationException',
    });
  });
});
