/** Application load balancers that speak TLS and HTTP/2: to clients, and to targets. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import { test } from 'node:test';
import tls from 'node:tls';
import * as elb from '@aws-sdk/client-elastic-load-balancing-v2';
import { type Ipv4, parseIp } from '@enid/ip';
import { connectTcp, listenTcp } from '@enid/linux';
import {
  createListener,
  createLoadBalancer,
  createTargetGroup,
  forwardTo,
} from '../cloud/elbv2/elbv2.fixture.ts';
import { INTERNET_CLIENT } from '../internet/server.ts';
import { CertificateAuthority } from '../pki/index.ts';
import { importCertificate } from './certificates.fixture.ts';
import { tellRequest } from './http.fixture.ts';
import { healthy, nodesOf, register, startServing, type Target } from './lab.fixture.ts';

/** Answers requests of HTTP/2 without TLS, and calls of gRPC with a status in trailers. */
function serveHttp2({ ns, address }: Target, port: number) {
  const server = http2.createServer();
  server.on('stream', (stream, headers) => {
    if (headers['content-type'] !== 'application/grpc') {
      stream.respond({ ':status': 200 });
      stream.end(`${headers['x-forwarded-proto']} ${headers[':path']}`);
      return;
    }
    // What nobody implements has status 12, as a health check expects it.
    const status = headers[':path'] === '/echo.Echo/Say' ? '0' : '12';
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': status }));
    stream.pipe(stream);
  });
  server.listen({ fd: listenTcp(ns, address, port) });
  return server;
}

test('application load balancers that are secure', async (t) => {
  const lab = await startServing(t, tellRequest);
  const [near] = lab.targets;
  const servers = [81, 82].map((port) => serveHttp2(near, port));
  t.after(() => servers.forEach((server) => void server.close()));
  const { authority } = await CertificateAuthority.create('tests');
  const balancer = await createLoadBalancer(lab, { Scheme: 'internet-facing' });
  const LoadBalancerArn = balancer.LoadBalancerArn!;
  await lab.cloud.settled();
  const [address] = lab.cloud.resolve(balancer.DNSName!)! as [Ipv4];
  const group = async (name: string, Port: number, ProtocolVersion: string) => {
    const arn = await createTargetGroup(lab, name, { Port, ProtocolVersion });
    await register(lab, arn, [near.address]);
    return arn;
  };
  const web = await group('web', 80, 'HTTP1');
  const http2Group = await group('http2', 81, 'HTTP2');
  const grpc = await group('grpc', 82, 'GRPC');
  const [CertificateArn, second] = await Promise.all(
    ['first.test', '*.second.test'].map((name) => importCertificate(lab, authority, name)),
  );
  const ListenerArn = await createListener(lab, LoadBalancerArn, {
    ...{ Protocol: 'HTTPS', Port: 443, DefaultActions: forwardTo(web), Certificates: [{ CertificateArn }] },
    SslPolicy: 'ELBSecurityPolicy-TLS13-1-2-2021-06',
  });
  await lab.elb.send(
    new elb.AddListenerCertificatesCommand({ ListenerArn, Certificates: [{ CertificateArn: second }] }),
  );
  for (const [index, [pattern, arn]] of Object.entries({ '/h2': http2Group, '/*.*/*': grpc }).entries()) {
    await lab.elb.send(
      new elb.CreateRuleCommand({
        ...{ ListenerArn, Priority: index + 1, Actions: forwardTo(arn) },
        Conditions: [{ Field: 'path-pattern', Values: [pattern] }],
      }),
    );
  }
  const told = [{ Key: 'routing.http.x_amzn_tls_version_and_cipher_suite.enabled', Value: 'true' }];
  await lab.elb.send(new elb.ModifyLoadBalancerAttributesCommand({ LoadBalancerArn, Attributes: told }));
  for (const arn of [web, http2Group, grpc]) await healthy(lab, arn);

  const connect = async (options: tls.ConnectionOptions = {}) => {
    const raw = connectTcp(lab.internet, address, 443, { localAddress: parseIp(INTERNET_CLIENT) });
    raw.on('error', () => {});
    t.after(() => raw.destroy());
    const socket = tls.connect({
      socket: raw,
      ca: authority.certificate,
      servername: 'first.test',
      ...options,
    });
    await once(socket, 'secureConnect', { signal: AbortSignal.timeout(5000) });
    return socket;
  };

  await t.test('have the certificate of the name, and the protocols of the policy', async () => {
    for (const servername of ['first.test', 'x.second.test']) {
      const socket = await connect({ servername });
      assert.equal(socket.getProtocol(), 'TLSv1.3');
      socket.write(`GET / HTTP/1.1\r\nhost: ${servername}\r\nconnection: close\r\n\r\n`);
      const body = String((await socket.toArray()).join('')).split('\r\n\r\n')[1]!;
      const { client, headers } = JSON.parse(body.replace(/^[0-9a-f]+\r\n|\r\n0?$/g, ''));
      assert.equal(client, nodesOf(lab, LoadBalancerArn)[0]);
      assert.deepEqual([headers['x-forwarded-proto'], headers['x-forwarded-port']], ['https', '443']);
    }
    await assert.rejects(
      connect({ maxVersion: 'TLSv1.1', minVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' }),
    );
  });

  await t.test('speak HTTP/2 with clients, and with targets that want it', async () => {
    const socket = await connect({ ALPNProtocols: ['h2', 'http/1.1'] });
    assert.equal(socket.alpnProtocol, 'h2');
    const session = http2.connect('https://first.test', { createConnection: () => socket });
    t.after(() => session.destroy());
    const ask = async (path: string, headers: http2.OutgoingHttpHeaders = {}, content?: Buffer) => {
      const stream = session.request({ ':path': path, ...headers }, { endStream: !content });
      if (content) stream.end(content);
      const trailers = once(stream, 'trailers').catch(() => []);
      const [response] = await once(stream, 'response');
      const body = Buffer.concat(await stream.toArray());
      return { status: response[':status'], body, trailers: content ? (await trailers)[0] : undefined };
    };
    assert.equal(JSON.parse(String((await ask('/')).body)).url, '/');
    assert.equal(String((await ask('/h2')).body), 'https /h2');
    const message = Buffer.from([0, 0, 0, 0, 3, 1, 2, 3]);
    const call = { ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers' };
    const answer = await ask('/echo.Echo/Say', call, message);
    assert.deepEqual([answer.body, answer.trailers['grpc-status']], [message, '0']);
  });
});
