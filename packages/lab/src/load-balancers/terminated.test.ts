/** Network load balancers that end connections and begin others: PROXY protocol v2, and TLS. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, statSync } from 'node:fs';
import https from 'node:https';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import tls from 'node:tls';
import * as elb from '@aws-sdk/client-elastic-load-balancing-v2';
import type { Ipv4 } from '@enid/ip';
import { connectTcp, listenTcp } from '@enid/linux';
import {
  createListener,
  createLoadBalancer,
  createTargetGroup,
  forwardTo,
} from '../cloud/elbv2/elbv2.fixture.ts';
import { INTERNET_CLIENT } from '../internet/server.ts';
import { tellWhoAsks } from '../internet/who-asks.ts';
import { CertificateAuthority } from '../pki/index.ts';
import { importCertificate } from './certificates.fixture.ts';
import {
  healthy,
  nodesOf,
  register,
  setAttributes,
  startServing,
  type Target,
  type Who,
} from './lab.fixture.ts';
import { SIGNATURE } from './proxy-protocol.ts';

const PORT = 9000;

/** Tells the source of each connection and what its header says: nothing to those that have none. */
async function tellSources(t: TestContext, { ns, address }: Target) {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (data) => {
      if (!data.subarray(0, 12).equals(SIGNATURE)) return socket.destroy();
      // Command LOCAL: the load balancer asks for itself.
      if (data[12] === 0x20) return socket.end('HTTP/1.0 200 OK\r\n\r\n');
      const ip = (at: number) => [...data.subarray(at, at + 4)].join('.');
      const header = {
        command: data[12]! & 0xf,
        family: data[13],
        source: ip(16),
        destination: ip(20),
        sourcePort: data.readUInt16BE(24),
        port: data.readUInt16BE(26),
      };
      socket.end(JSON.stringify({ client: socket.remoteAddress, header }));
    });
  });
  server.listen({ fd: listenTcp(ns, address, PORT) });
  await once(server, 'listening');
  t.after(() => server.close());
}

test('targets are told the client by PROXY protocol v2, from the load balancer or from the client itself', async (t) => {
  const lab = await startServing(t);
  const { internet, targets } = lab;
  await Promise.all(targets.map((target) => tellSources(t, target)));
  const { LoadBalancerArn, DNSName } = await createLoadBalancer(lab, {
    Type: 'network',
    Scheme: 'internet-facing',
  });
  await lab.cloud.settled();
  const group = await createTargetGroup(lab, 'announced', {
    ...{ Protocol: 'TCP', Port: PORT, HealthCheckProtocol: 'HTTP', HealthCheckIntervalSeconds: 5 },
  });
  await setAttributes(lab, group, { 'proxy_protocol_v2.enabled': 'true' });
  await createListener(lab, LoadBalancerArn!, { Protocol: 'TCP', DefaultActions: forwardTo(group) });
  const [first, second] = lab.cloud.resolve(DNSName!)! as [Ipv4, Ipv4];
  const ask = async (address: Ipv4, hello = 'hello') => {
    const socket = connectTcp(internet, address, 80, { localAddress: INTERNET_CLIENT as Ipv4 });
    socket.on('error', () => {});
    socket.write(hello);
    const [data] = await once(socket, 'data', { signal: AbortSignal.timeout(2000) }).catch(() => []);
    const { localPort } = socket;
    socket.destroy();
    return data && { ...JSON.parse(String(data)), localPort };
  };
  const began = performance.now();
  assert.equal(await ask(first), undefined, 'nobody serves yet');
  assert.ok(performance.now() - began < 1000, 'and it is refused at once');

  await register(
    lab,
    group,
    targets.map(({ address }) => address),
  );
  await healthy(lab, group);
  const nodes = nodesOf(lab, LoadBalancerArn!);
  for (const [zone, address] of [first, second].entries()) {
    const { client, header, localPort } = await ask(address);
    assert.equal(client, nodes[zone]);
    assert.deepEqual(header, {
      ...{ command: 1, family: 0x11, source: INTERNET_CLIENT, destination: nodes[zone] },
      ...{ sourcePort: localPort, port: 80 },
    });
  }
  await setAttributes(lab, group, { 'preserve_client_ip.enabled': 'true' });
  for (const address of [first, second]) {
    const { client, header } = await ask(address);
    assert.deepEqual([client, header.source], [INTERNET_CLIENT, INTERNET_CLIENT]);
  }
});

test('TLS ends at the load balancer, with the certificate of the name that is asked for', async (t) => {
  const lab = await startServing(t);
  const { internet, targets } = lab;
  const { authority } = await CertificateAuthority.create('tests');
  const names = ['first.test', '*.second.test'];
  const [CertificateArn, other] = await Promise.all(
    names.map((name) => importCertificate(lab, authority, name)),
  );
  const { LoadBalancerArn, DNSName } = await createLoadBalancer(lab, {
    Type: 'network',
    Scheme: 'internet-facing',
  });
  await lab.cloud.settled();
  const clear = await createTargetGroup(lab, 'clear', { Protocol: 'TCP', TargetType: 'instance' });
  const secure = await createTargetGroup(lab, 'secure', { Protocol: 'TLS', Port: 443 });
  const listen = (Port: number, group: string, more: Partial<elb.CreateListenerCommandInput>) =>
    createListener(lab, LoadBalancerArn!, {
      ...{ Protocol: 'TLS', Port, DefaultActions: forwardTo(group), Certificates: [{ CertificateArn }] },
      ...more,
    });
  const SslPolicy = 'ELBSecurityPolicy-TLS13-1-3-2021-06';
  const ListenerArn = await listen(443, clear, { SslPolicy, AlpnPolicy: ['HTTP2Preferred'] });
  await lab.elb.send(
    new elb.AddListenerCertificatesCommand({ ListenerArn, Certificates: [{ CertificateArn: other }] }),
  );
  await listen(8443, secure, { SslPolicy: 'ELBSecurityPolicy-2016-08' });
  const ownKeys = await authority.issueServer(['target.internal']);
  for (const { ns, address } of targets) {
    const server = https.createServer({ cert: ownKeys.certificate, key: ownKeys.key }, tellWhoAsks);
    server.listen({ fd: listenTcp(ns, address, 443) });
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
  }
  await register(
    lab,
    clear,
    targets.map(({ id }) => id),
  );
  await register(
    lab,
    secure,
    targets.map(({ address }) => address),
  );
  await Promise.all([healthy(lab, clear), healthy(lab, secure)]);

  const [address] = lab.cloud.resolve(DNSName!)! as [Ipv4];
  const ask = async (port: number, options: tls.ConnectionOptions) => {
    const raw = connectTcp(internet, address, port, { localAddress: INTERNET_CLIENT as Ipv4 });
    raw.on('error', () => {});
    const socket = tls.connect({ socket: raw, ca: authority.certificate, ...options });
    try {
      await once(socket, 'secureConnect', { signal: AbortSignal.timeout(2000) });
      socket.write('GET / HTTP/1.0\r\n\r\n');
      const [data] = await once(socket, 'data', { signal: AbortSignal.timeout(2000) });
      const who: Who = JSON.parse(String(data).split('\r\n\r\n')[1]!);
      return {
        client: who.client.address,
        server: who.server.address,
        subject: socket.getPeerCertificate().subject.CN,
        protocol: socket.getProtocol(),
        alpn: socket.alpnProtocol,
      };
    } finally {
      raw.destroy();
    }
  };
  const [node] = nodesOf(lab, LoadBalancerArn!);
  const server = targets[0].address;
  // Targets by instance see the client, those by address the load balancer.
  const ALPNProtocols = ['http/1.1', 'h2'];
  assert.deepEqual(await ask(443, { servername: 'a.second.test', ALPNProtocols }), {
    ...{ client: INTERNET_CLIENT, server, subject: '*.second.test', protocol: 'TLSv1.3', alpn: 'h2' },
  });
  const subjects = await Promise.all(
    ['first.test', 'unknown.test'].map(
      async (servername) => (await ask(443, { servername, checkServerIdentity: () => undefined })).subject,
    ),
  );
  assert.deepEqual(subjects, ['first.test', 'first.test']);
  await assert.rejects(ask(443, { servername: 'first.test', maxVersion: 'TLSv1.2' }));
  assert.deepEqual(
    await ask(8443, { servername: 'first.test', minVersion: 'TLSv1', maxVersion: 'TLSv1', ...OLD_TLS }),
    { client: node, server, subject: 'first.test', protocol: 'TLSv1', alpn: false },
  );
  // A connection outlives the change of its listener.
  const raw = connectTcp(internet, address, 443, { localAddress: INTERNET_CLIENT as Ipv4 });
  t.after(() => raw.destroy());
  const open = tls.connect({ socket: raw, ca: authority.certificate, servername: 'first.test' });
  const askOpen = async () => {
    open.write('GET / HTTP/1.1\r\nhost: it\r\n\r\n');
    const [data] = await once(open, 'data', { signal: AbortSignal.timeout(2000) });
    return /"client":\{"address":"([^"]+)"/.exec(String(data))?.[1];
  };
  assert.equal(await askOpen(), INTERNET_CLIENT);
  await lab.elb.send(
    new elb.ModifyListenerCommand({ ListenerArn, Certificates: [{ CertificateArn: other }] }),
  );
  const changed = await ask(443, { checkServerIdentity: () => undefined });
  assert.deepEqual([changed.subject, await askOpen()], ['*.second.test', INTERNET_CLIENT]);
  for (const file of readdirSync(lab.directory, { recursive: true, withFileTypes: true }))
    if (file.isFile()) assert.equal(statSync(join(file.parentPath, file.name)).mode & 0o777, 0o600);
});

/** What OpenSSL does without by itself. */
const OLD_TLS = { ciphers: 'DEFAULT:@SECLEVEL=0' };
