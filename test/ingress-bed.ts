/** A cluster of a lab with load balancers for Ingresses: pods that tell what they are asked, and the internet that asks. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ACMClient, ImportCertificateCommand } from '@aws-sdk/client-acm';
import { parseIp } from '@enid/ip';
import {
  applyObjects,
  type CoreEvent,
  type Ingress,
  KubeClient,
  type KubeObject,
  kubeconfigAccess,
  type Pod,
} from '@enid/kube';
import { Lab } from '@enid/lab';
import type { LabStatus } from '@enid/lab/status';
import { listenTcp, NetNamespace } from '@enid/linux';
import { CertificateAuthority } from '@enid/pki';
import { host } from '../packages/cli/src/host.ts';
import { collect } from '../packages/lab/src/base/output.ts';
import { until } from '../packages/lab/src/base/until.ts';
import { serviceNamespaceName } from '../packages/lab/src/fabric/names.ts';
import { CREDENTIALS } from '../packages/lab/src/lab/credentials.ts';
import { run } from './enid.ts';

export const NAME = 'ingresstest';
// From where the internet asks.
export { INTERNET_CLIENT as CLIENT } from '../packages/lab/src/internet/addresses.ts';

const REGION = 'us-east-1';
const PORT = 8080;

export type Asked = {
  /** 0 when there was no answer. */
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** `name=value`. */
  readonly cookies: readonly string[];
  readonly body: string;
  /** What the pod says of the request, when it was one that answered. */
  readonly seen: Seen | undefined;
};
/** What a pod sees. */
export type Seen = {
  readonly pod: string;
  readonly client: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
};

export class IngressBed implements AsyncDisposable {
  readonly client: KubeClient;
  readonly lab: Lab;
  readonly #acm: ACMClient;
  readonly #authority: CertificateAuthority;
  /** Where clients find whom they trust. */
  readonly #directory = mkdtempSync(join(tmpdir(), 'enid-ingress-'));
  readonly #servers: Server[] = [];

  private constructor(status: LabStatus, authority: CertificateAuthority) {
    const { kubeconfig } = status.kubernetes!;
    this.client = new KubeClient(kubeconfigAccess(kubeconfig));
    this.lab = Lab.open(NAME, host);
    this.#acm = new ACMClient({ endpoint: status.ec2Endpoint!, region: REGION, credentials: CREDENTIALS });
    this.#authority = authority;
    writeFileSync(this.#trusted, authority.certificate);
  }

  static async open(): Promise<IngressBed> {
    await run('lab', 'down', '--name', NAME);
    const up = await run('lab', 'up', '--name', NAME, '--nodes', '2');
    assert.equal(up.status, 0, up.stderr);
    const status: LabStatus = JSON.parse((await run('lab', 'status', '--name', NAME, '--json')).stdout);
    const { authority } = await CertificateAuthority.create('ingresses');
    return new IngressBed(status, authority);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers) server.close().closeAllConnections();
    this.#acm.destroy();
    this.client.close();
    rmSync(this.#directory, { recursive: true });
    await run('lab', 'down', '--name', NAME);
  }

  get #trusted(): string {
    return join(this.#directory, 'authority.pem');
  }

  async apply(...objects: KubeObject[]): Promise<void> {
    await applyObjects(this.client, objects as never, 'test');
  }

  /** Makes pods that tell what they are asked, in turn on the nodes, and a Service with port 80 of each app. @param pods name by name the app. */
  async serve(namespace: string, pods: Readonly<Record<string, string>>): Promise<void> {
    const nodes = this.lab.nodes.map(({ record }) => record.dnsName);
    await this.client.create<object>('/api/v1/namespaces', {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: namespace },
    });
    await until(
      () => this.client.get(`/api/v1/namespaces/${namespace}/serviceaccounts/default`).catch(() => undefined),
      Boolean,
      'service account',
    );
    const apps = new Set(Object.values(pods));
    await this.apply(
      ...[...apps].map((app) => ({
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: app, namespace },
        spec: { selector: { app }, ports: [{ name: 'http', port: 80, targetPort: PORT }] },
      })),
      ...Object.entries(pods).map(([name, app], index) => ({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name, namespace, labels: { app } },
        spec: {
          nodeName: nodes[index % nodes.length],
          terminationGracePeriodSeconds: 0,
          containers: [{ name: 'pause', image: 'registry.k8s.io/pause:3.9' }],
        },
      })),
    );
    for (const pod of Object.keys(pods)) {
      const { status } = await until(
        () => this.client.get<Pod>(`/api/v1/namespaces/${namespace}/pods/${pod}`),
        ({ status }) => status?.phase === 'Running' && status.podIP !== undefined,
        `pod ${pod}`,
      );
      using ns: NetNamespace = this.lab.cluster!.podNamespace(`${namespace}/${pod}`, this.lab.record.nodes)!;
      const server = createServer(({ url, headers, socket }, response) => {
        response.end(JSON.stringify({ pod, client: socket.remoteAddress, url, headers }));
      });
      server.listen({ fd: listenTcp(ns, parseIp(status!.podIP!) as never, PORT) });
      await once(server, 'listening');
      this.#servers.push(server);
    }
  }

  /** A certificate in the account. @returns its ARN. */
  async certificate(name: string): Promise<string> {
    const { certificate, key } = await this.#authority.issueServer([name]);
    const input = { Certificate: Buffer.from(certificate), PrivateKey: Buffer.from(key) };
    return (await this.#acm.send(new ImportCertificateCommand(input))).CertificateArn!;
  }

  /** The name by which an Ingress is reached; undefined when it has none. */
  async addressOf(namespace: string, name: string): Promise<string | undefined> {
    const path = `/apis/networking.k8s.io/v1/namespaces/${namespace}/ingresses/${name}`;
    const { status } = await this.client.get<Ingress>(path);
    return status?.loadBalancer?.ingress?.[0]?.hostname;
  }

  /** The same once there is one. */
  async nameOf(namespace: string, name: string): Promise<string> {
    const found = await until(
      () => this.addressOf(namespace, name),
      Boolean,
      `the address of Ingress ${namespace}/${name}`,
      30_000,
    );
    return found!;
  }

  /** Asks from the internet, as curl(1) does. @param at the load balancer's name; the URL's host is another. */
  async ask(at: string, url: string, ...options: string[]): Promise<Asked> {
    const { stdout } = await this.lab.run('internet', [
      'curl',
      ...['-sS', '--max-time', '10', '-D', '-', '--cacert', this.#trusted, '--connect-to', `::${at}:`],
      ...options,
      url,
    ]);
    const [head = '', ...rest] = stdout.split('\r\n\r\n');
    const [first = '', ...lines] = head.split('\r\n');
    const body = rest.join('\r\n\r\n');
    const fields = lines.map((line) => line.split(/: ?(.*)/s) as [string, string]);
    return {
      status: Number(first.split(' ')[1] ?? 0),
      headers: Object.fromEntries(fields.map(([name, value]) => [name.toLowerCase(), value])),
      cookies: fields
        .filter(([name]) => name.toLowerCase() === 'set-cookie')
        .map(([, value]) => value.split(';')[0]!),
      body,
      seen: body.startsWith('{"pod"') ? JSON.parse(body) : undefined,
    };
  }

  /** Asks until a pod, or whatever else is wanted, answers. */
  async served(
    at: string,
    url: string,
    wanted: (asked: Asked) => boolean = ({ seen }) => Boolean(seen),
  ): Promise<Asked> {
    return await until(() => this.ask(at, url), wanted, `an answer to ${url}`, 30_000);
  }

  /** Asks for all of them until each is answered with 200. */
  async allServed(at: string, urls: readonly string[]): Promise<void> {
    const outputs = urls.flatMap((url) => ['-o', '/dev/null', url]);
    const command = [
      'curl',
      '-s',
      '--max-time',
      '10',
      '-w',
      '%{http_code} ',
      '--connect-to',
      `::${at}:`,
    ] as const;
    await until(
      async () => (await this.lab.run('internet', [...command, ...outputs])).stdout.trim().split(' '),
      (codes) => codes.length === urls.length && codes.every((code) => code === '200'),
      `answers to ${urls.length} URLs`,
      30_000,
    );
  }

  /** The messages of an Ingress's warnings, once there are any. */
  async warningsOf(namespace: string, name: string): Promise<string[]> {
    return await until(
      async () => {
        const { items } = await this.client.get<{ items: CoreEvent[] }>(
          `/api/v1/namespaces/${namespace}/events`,
        );
        return items
          .filter(({ involvedObject, type }) => involvedObject.name === name && type === 'Warning')
          .map(({ message }) => message ?? '');
      },
      (messages) => messages.length > 0,
      `a warning of Ingress ${namespace}/${name}`,
    );
  }

  /** How often the controller has called which operation of AWS until now, by its metrics. */
  async calls(): Promise<Map<string, number>> {
    using ns = NetNamespace.named(serviceNamespaceName(this.lab.directory.prefix, 'eks'));
    const curl = ['-sS', 'http://127.0.0.1:8080/metrics'];
    const { stdout } = await collect(ns.run(() => spawn('curl', curl, { stdio: 'pipe' })));
    const counts = new Map<string, number>();
    for (const [, operation, count] of stdout.matchAll(
      /^enid_aws_request_seconds_count\{operation="(\w+)".*\} (\d+)$/gm,
    ))
      counts.set(operation!, (counts.get(operation!) ?? 0) + Number(count));
    return counts;
  }
}
