/** A cluster with load balancers for Ingresses: pods that tell what they are asked, and one who asks from outside. */
import { X509Certificate } from 'node:crypto';
import { ACMClient, DeleteCertificateCommand, ImportCertificateCommand } from '@aws-sdk/client-acm';
import { applyObjects, type CoreEvent, type Ingress, type KubeObject, type Pod } from '@enid/kube';
import { CertificateAuthority } from '@enid/pki';
import { until } from '../packages/lab/src/base/until.ts';
import { labUp } from './enid.ts';
import { GIVEN } from './given.ts';
import { openSite, type Site } from './site.ts';

/** Of the lab, and of the namespace. */
export const NAME = 'ingresstest';

const PORT = 8080;
/** Headers that pods tell of. */
const HEADERS = ['host', 'x-forwarded-for', 'x-forwarded-port', 'x-forwarded-proto'];

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
  readonly site: Site;
  readonly #acm: ACMClient;
  readonly #authority: CertificateAuthority;
  readonly #certificates: string[] = [];

  private constructor(site: Site, authority: CertificateAuthority) {
    this.site = site;
    this.#acm = new ACMClient(site.aws);
    this.#authority = authority;
  }

  static async open(): Promise<IngressBed> {
    const { authority } = await CertificateAuthority.create('ingresses');
    const site = await openSite(NAME, NAME, () => labUp(NAME, '--nodes', '2'));
    return new IngressBed(site, authority);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await using stack = new AsyncDisposableStack();
    stack.defer(() => this.#acm.destroy());
    // Once no load balancer has them any more.
    for (const CertificateArn of this.#certificates)
      stack.defer(async () => {
        const forget = () => this.#acm.send(new DeleteCertificateCommand({ CertificateArn }));
        await until(() => forget().then(Boolean, () => false), Boolean, `the end of ${CertificateArn}`);
      });
    stack.use(this.site);
  }

  async apply(...objects: KubeObject[]): Promise<void> {
    await applyObjects(this.site.stations.client, objects as never, 'test');
  }

  /** Makes pods that tell what they are asked, in turn on the nodes, and a Service with port 80 of each app. @param pods name by name the app. */
  async serve(pods: Readonly<Record<string, string>>): Promise<void> {
    const { stations, namespace } = this.site;
    const nodes = await stations.nodes(2);
    const apps = new Set(Object.values(pods));
    await this.apply(
      {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'tells', namespace },
        data: { 'tells.conf': TELLS },
      } as KubeObject,
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
          containers: [
            {
              name: 'nginx',
              image: 'nginx',
              volumeMounts: [{ name: 'tells', mountPath: '/etc/nginx/conf.d' }],
            },
          ],
          volumes: [{ name: 'tells', configMap: { name: 'tells' } }],
        },
      })),
    );
    for (const pod of Object.keys(pods))
      await until(
        () => stations.client.get<Pod>(`/api/v1/namespaces/${namespace}/pods/${pod}`),
        ({ status }) => status?.phase === 'Running' && status.podIP !== undefined,
        `pod ${pod}`,
        60_000,
      );
  }

  /** A certificate in the account. @returns its ARN. */
  async certificate(name: string): Promise<string> {
    const { certificate, key } = await this.#authority.issueServer([name]);
    const input = { Certificate: Buffer.from(certificate), PrivateKey: Buffer.from(key) };
    const { CertificateArn } = await this.#acm.send(new ImportCertificateCommand(input));
    // That of a lab goes with its account.
    if (GIVEN) this.#certificates.push(CertificateArn!);
    return CertificateArn!;
  }

  /** The name by which an Ingress is reached; undefined when it has none. */
  async addressOf(name: string): Promise<string | undefined> {
    const path = `/apis/networking.k8s.io/v1/namespaces/${this.site.namespace}/ingresses/${name}`;
    const { status } = await this.site.stations.client.get<Ingress>(path);
    return status?.loadBalancer?.ingress?.[0]?.hostname;
  }

  /** The same once there is one. */
  async nameOf(name: string): Promise<string> {
    const found = await until(
      () => this.addressOf(name),
      Boolean,
      `the address of Ingress ${name}`,
      this.site.patience,
    );
    return found!;
  }

  /** Asks as curl(1) does. @param at the load balancer's name; the URL's host is another. */
  async ask(at: string, url: string, ...options: string[]): Promise<Asked> {
    const stdout = await this.#curl(at, '-D', '-', ...options, url);
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

  /** The subject of the certificate that is shown to those who ask for a host, when they trust it. */
  async subjectOf(at: string, host: string): Promise<string> {
    const shown = await this.#curl(at, '-o', '/dev/null', '-w', '%{certs}', `https://${host}/`);
    return new X509Certificate(shown.slice(shown.indexOf('-----BEGIN'))).subject;
  }

  async #curl(at: string, ...options: string[]): Promise<string> {
    // Whom to trust is told by a pipe: there is no place for files where others run.
    const trusting = 'printf %s "$0" | curl -s --max-time 10 --cacert /dev/stdin --connect-to "$@"';
    return await this.site.run('sh', '-c', trusting, this.#authority.certificate, `::${at}:`, ...options);
  }

  /** Asks until a pod, or whatever else is wanted, answers. */
  async served(
    at: string,
    url: string,
    wanted: (asked: Asked) => boolean = ({ seen }) => Boolean(seen),
  ): Promise<Asked> {
    return await until(() => this.ask(at, url), wanted, `an answer to ${url}`, this.site.patience);
  }

  /** Asks for all of them until each is answered with 200. */
  async allServed(at: string, urls: readonly string[]): Promise<void> {
    const outputs = urls.flatMap((url) => ['-o', '/dev/null', url]);
    await until(
      async () => (await this.#curl(at, '-w', '%{http_code} ', ...outputs)).trim().split(' '),
      (codes) => codes.length === urls.length && codes.every((code) => code === '200'),
      `answers to ${urls.length} URLs`,
      this.site.patience,
    );
  }

  /** The messages of an Ingress's warnings, once there are any. */
  async warningsOf(name: string): Promise<string[]> {
    const { stations, namespace } = this.site;
    return await until(
      async () => {
        const { items } = await stations.client.get<{ items: CoreEvent[] }>(
          `/api/v1/namespaces/${namespace}/events`,
        );
        return items
          .filter(({ involvedObject, type }) => involvedObject.name === name && type === 'Warning')
          .map(({ message }) => message ?? '');
      },
      (messages) => messages.length > 0,
      `a warning of Ingress ${name}`,
    );
  }

  /** How often the controller has called which operation of AWS until now; undefined where its metrics are not to be had. */
  async calls(): Promise<Map<string, number> | undefined> {
    const metrics = await this.site.metrics?.();
    if (metrics === undefined) return undefined;
    const counts = new Map<string, number>();
    for (const [, operation, count] of metrics.matchAll(
      /^enid_aws_request_seconds_count\{operation="(\w+)".*\} (\d+)$/gm,
    ))
      counts.set(operation!, (counts.get(operation!) ?? 0) + Number(count));
    return counts;
  }
}

/** A server of nginx that answers with what it sees. */
const TELLS = `server {
  listen ${PORT};
  location / {
    default_type application/json;
    return 200 '${JSON.stringify({
      pod: '$hostname',
      client: '$remote_addr',
      url: '$request_uri',
      headers: Object.fromEntries(HEADERS.map((name) => [name, `$http_${name.replaceAll('-', '_')}`])),
    })}';
  }
}
`;
