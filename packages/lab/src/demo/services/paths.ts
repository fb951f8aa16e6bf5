/** The ways to a pod through a load balancer that differ in what the pod sees of its client. */
import type { KubeObject } from '@enid/kube';

/** The pods behind them, both on the second node; the second expects PROXY protocol headers. */
export const BACKENDS = { plain: 'web', proxied: 'web-proxied' } as const;

type Manifest = KubeObject & { readonly spec: object };

/** Whose address a packet has. */
export type Party = 'client' | 'node' | 'load balancer';

export type Path = {
  readonly title: string;
  readonly objects: readonly Manifest[];
  /** The object that has the load balancer's name. */
  readonly exposes: { readonly kind: 'services' | 'ingresses'; readonly name: string };
  /** The Service whose pods, or nodes, are targets. */
  readonly service: string;
  readonly backend: (typeof BACKENDS)[keyof typeof BACKENDS];
  readonly protocol: 'TCP' | 'UDP';
  /** The listener's. */
  readonly port: number;
  /** Where packets go from the load balancer: to the pod, or to a node for it. */
  readonly target: 'pod' | 'first node' | "the pod's node";
  /** From whom packets come to the target, and then to the pod. */
  readonly source: { readonly ofTarget: Party; readonly ofPod: Party };
  /** What tells the pod who its client is, and whom it takes for it then. */
  readonly told: {
    readonly by: 'the connection' | 'the PROXY header' | 'X-Forwarded-For';
    readonly client: Party;
  };
  /** The URL's path that answers with the client. */
  readonly question: string;
};

const LB = 'service.beta.kubernetes.io/aws-load-balancer-';
const ALB = 'alb.ingress.kubernetes.io/';

function networkLoadBalancer(
  name: string,
  annotations: Readonly<Record<string, string>>,
  { app = BACKENDS.plain as string, ...spec }: Record<string, unknown> = {},
): Manifest {
  const all = { scheme: 'internet-facing', ...annotations };
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name,
      namespace: 'default',
      annotations: Object.fromEntries(Object.entries(all).map(([key, value]) => [LB + key, value])),
    },
    spec: {
      type: 'LoadBalancer',
      loadBalancerClass: 'service.k8s.aws/nlb',
      selector: { app },
      ports: [{ port: 80, targetPort: 8080 }],
      ...spec,
    },
  };
}

const byNetworkLoadBalancer = (
  name: string,
  annotations: Readonly<Record<string, string>>,
  spec: Record<string, unknown>,
  more: Pick<Path, 'title' | 'target' | 'source' | 'told'> & Partial<Path>,
): Path => ({
  objects: [networkLoadBalancer(name, annotations, spec)],
  exposes: { kind: 'services', name },
  service: name,
  backend: BACKENDS.plain,
  protocol: 'TCP',
  port: 80,
  question: '/clientip',
  ...more,
});

const everywhere = (party: Party) => ({ ofTarget: party, ofPod: party });
const ip = { 'nlb-target-type': 'ip' };
const byConnection = (client: Party) => ({ by: 'the connection', client }) as const;

export const UNDER_LOCAL = 'nlb-local';

export const PATHS: readonly Path[] = [
  byNetworkLoadBalancer(
    'nlb-cluster',
    {},
    { externalTrafficPolicy: 'Cluster' },
    {
      title: 'NLB to instances, externalTrafficPolicy Cluster',
      target: 'first node',
      source: { ofTarget: 'client', ofPod: 'node' },
      told: byConnection('node'),
    },
  ),
  byNetworkLoadBalancer(
    UNDER_LOCAL,
    {},
    { externalTrafficPolicy: 'Local' },
    {
      title: 'NLB to instances, externalTrafficPolicy Local',
      target: "the pod's node",
      source: everywhere('client'),
      told: byConnection('client'),
    },
  ),
  byNetworkLoadBalancer(
    'nlb-ip',
    ip,
    {},
    {
      title: 'NLB to pods',
      target: 'pod',
      source: everywhere('load balancer'),
      told: byConnection('load balancer'),
    },
  ),
  byNetworkLoadBalancer(
    'nlb-proxy-protocol',
    { ...ip, 'proxy-protocol': '*' },
    { app: BACKENDS.proxied },
    {
      title: 'NLB to pods, PROXY protocol v2',
      backend: BACKENDS.proxied,
      target: 'pod',
      source: everywhere('load balancer'),
      told: { by: 'the PROXY header', client: 'client' },
    },
  ),
  byNetworkLoadBalancer(
    'nlb-preserve',
    { ...ip, 'target-group-attributes': 'preserve_client_ip.enabled=true' },
    {},
    {
      title: 'NLB to pods, preserve_client_ip',
      target: 'pod',
      source: everywhere('client'),
      told: byConnection('client'),
    },
  ),
  byNetworkLoadBalancer(
    'nlb-udp',
    { ...ip, 'healthcheck-port': '8080' },
    { ports: [{ port: 8081, protocol: 'UDP', targetPort: 8081 }] },
    {
      title: 'NLB to pods, UDP',
      protocol: 'UDP',
      port: 8081,
      target: 'pod',
      source: everywhere('client'),
      told: byConnection('client'),
    },
  ),
  {
    title: 'ALB to pods',
    objects: [
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'behind-alb', namespace: 'default' },
        spec: { selector: { app: BACKENDS.plain }, ports: [{ port: 80, targetPort: 8080 }] },
      },
      {
        apiVersion: 'networking.k8s.io/v1',
        kind: 'Ingress',
        metadata: {
          name: 'alb',
          namespace: 'default',
          annotations: { [`${ALB}scheme`]: 'internet-facing', [`${ALB}target-type`]: 'ip' },
        },
        spec: {
          ingressClassName: 'alb',
          defaultBackend: { service: { name: 'behind-alb', port: { number: 80 } } },
        },
      },
    ] satisfies Manifest[],
    exposes: { kind: 'ingresses', name: 'alb' },
    service: 'behind-alb',
    backend: BACKENDS.plain,
    protocol: 'TCP',
    port: 80,
    target: 'pod',
    source: everywhere('load balancer'),
    told: { by: 'X-Forwarded-For', client: 'client' },
    question: '/header?key=X-Forwarded-For',
  },
];
