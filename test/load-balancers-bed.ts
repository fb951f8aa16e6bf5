/** Pods that ask load balancers, one of which is itself a target, and load balancers to be asked. */
import { applyObjects, type Ingress, type KubeObject, type Service } from '@enid/kube';
import { AGNHOST } from './services-bed.ts';
import type { Site } from './site.ts';
import type { Station } from './stations.ts';
import { until } from './until.ts';

const LB = 'service.beta.kubernetes.io/aws-load-balancer-';
const ALB = 'alb.ingress.kubernetes.io/';
/** Of the pod that is a target. */
const TARGET = { app: 'target' };

type Annotations = Readonly<Record<string, string>>;

const prefixed = (prefix: string, annotations: Annotations) =>
  Object.fromEntries(
    Object.entries(annotations).map(([key, value]) => [key.includes('/') ? key : prefix + key, value]),
  );

/**
 * A Service with a network load balancer, of which each zone reaches the targets of all.
 * @param annotations without the prefix that most have.
 * @param spec what is not as usual, which is a port 80 to port 8080 of the target.
 */
export const networkLoadBalancer = (name: string, annotations: Annotations, spec: object = {}) =>
  ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name,
      annotations: prefixed(LB, { attributes: 'load_balancing.cross_zone.enabled=true', ...annotations }),
    },
    spec: {
      type: 'LoadBalancer',
      loadBalancerClass: 'service.k8s.aws/nlb',
      selector: TARGET,
      ports: [{ port: 80, targetPort: 8080 }],
      ...spec,
    },
  }) as KubeObject;

/** An Ingress that leads all to port 80 of a Service. @param annotations without their prefix. */
export const applicationLoadBalancer = (name: string, service: string, annotations: Annotations) =>
  ({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: {
      name,
      annotations: prefixed(ALB, {
        'target-type': 'ip',
        'healthcheck-interval-seconds': '5',
        'healthcheck-timeout-seconds': '2',
        ...annotations,
      }),
    },
    spec: { ingressClassName: 'alb', defaultBackend: { service: { name: service, port: { number: 80 } } } },
  }) as KubeObject;

export class LoadBalancersBed {
  readonly #site: Site;
  /** Answers on port 8080 by TCP and UDP. */
  readonly target: Station;
  /** On the target's node. */
  readonly neighbour: Station;
  /** On another node. */
  readonly far: Station;

  private constructor(site: Site, [target, neighbour, far]: readonly Station[]) {
    this.#site = site;
    this.target = target!;
    this.neighbour = neighbour!;
    this.far = far!;
  }

  static async open(site: Site): Promise<LoadBalancersBed> {
    const { stations, namespace } = site;
    const [other, node] = await stations.nodes(2);
    const answers = { name: 'netexec', image: AGNHOST, args: ['netexec', '--udp-port=8080'] };
    return new LoadBalancersBed(
      site,
      await stations.start([
        { name: 'target', namespace, node: node!, labels: TARGET, beside: [answers] },
        { name: 'neighbour', namespace, node: node! },
        { name: 'far', namespace, node: other! },
      ]),
    );
  }

  async apply(...objects: KubeObject[]): Promise<void> {
    const { stations, namespace } = this.#site;
    const all = objects.map((object) => ({ ...object, metadata: { ...object.metadata, namespace } }));
    await applyObjects(stations.client, all as never, 'test');
  }

  /** The name of a load balancer, once it has one. */
  async nameOf(
    kind: 'services' | 'ingresses',
    name: string,
    namespace = this.#site.namespace,
  ): Promise<string> {
    const root = kind === 'services' ? '/api/v1' : '/apis/networking.k8s.io/v1';
    return until(async () => {
      const path = `${root}/namespaces/${namespace}/${kind}/${name}`;
      const { status } = await this.#site.stations.client.get<Service | Ingress>(path);
      const host = status?.loadBalancer?.ingress?.[0]?.hostname;
      if (!host) throw new Error(`${kind}/${name} has no load balancer`);
      return host;
    }, 2 * this.#site.patience);
  }

  /** The addresses of a name as a pod is told them by the cluster's DNS. */
  async addressesOf(host: string): Promise<string[]> {
    const { stdout } = await this.#site.stations.run(this.far, ['dig', '+short', host]);
    return stdout.trim().split('\n').sort();
  }

  /** Asks by HTTP, on a connection of its own. @returns what is answered; nothing when nobody does within 3 s. */
  async ask(from: Station, host: string, path: string): Promise<string> {
    const command = ['curl', '-s', '-m', '3', `http://${host}${path}`];
    return (await this.#site.stations.run(from, command)).stdout;
  }

  /** The same by UDP. */
  async askByUdp(from: Station, host: string, question: string): Promise<string> {
    const script =
      'exec 3<>"/dev/udp/$0/80"; printf %s "$1" >&3; timeout 3 dd bs=512 count=1 <&3 2>/dev/null';
    return (await this.#site.stations.run(from, ['bash', '-c', script, host, question])).stdout;
  }
}
