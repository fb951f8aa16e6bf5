/** What the controller would do for one Service or Ingress, for who asks from outside of it. */
import {
  type Ingress,
  type IngressClass,
  isNotFound,
  type KubeClient,
  type KubeObject,
  keyOf,
  type List,
  type Namespace,
  type Service,
} from '@enid/kube';
import { AwsAccount } from './aws/account.ts';
import type { AwsClients } from './aws/clients.ts';
import type { LoadBalancing } from './configuration.ts';
import { Bindings } from './deploy/bindings.ts';
import { type Change, type Description, describe } from './deploy/changes.ts';
import { Deployments } from './deploy/deployments.ts';
import { stackInWords } from './deploy/plan.ts';
import { formerStackIds, type IngressStackId, stackIdOf } from './ingress/groups.ts';
import { stackOfGroup } from './ingress/stack-of-group.ts';
import type { IngressClassParams, IngressWorld } from './ingress/world.ts';
import type { Stack } from './model/stack.ts';
import { ownsService } from './service/owned.ts';
import { stackOfService } from './service/stack.ts';

export type PlanQuestion = {
  readonly client: KubeClient;
  readonly aws: AwsClients;
  readonly settings: LoadBalancing;
  readonly kind: 'service' | 'ingress';
  readonly namespace: string;
  readonly name: string;
};

export type PlanAnswer = {
  /** Whose plan it is: an Ingress's is that of its group. */
  readonly of: string;
  /** What is wrong with Ingresses of the group, which are left out. */
  readonly problems: readonly string[];
  /** What is wanted. */
  readonly stack: Stack | undefined;
  readonly changes: readonly (Description & { readonly call: Change['call'] })[];
};

/** @throws {Error} for an object that is not there, or is not ours; {InvalidObject} for one that is wrong; {AwsError}. */
export async function planFor(question: PlanQuestion): Promise<PlanAnswer> {
  const { client, aws, settings } = question;
  const { vpcId, defaults, externalTags } = settings;
  const deployments: Deployments = new Deployments({
    aws,
    bindings: new Bindings(client),
    vpcId,
    clusterName: defaults.clusterName,
    externalTags,
    limits: () => account.limits(),
  });
  const account: AwsAccount = new AwsAccount({
    aws,
    vpcId,
    loadBalancerOf: (id) => deployments.loadBalancerOf(id),
  });
  const { stack, problems, of } =
    question.kind === 'service'
      ? await wantedOfService(question, { account, defaults })
      : await wantedOfIngress(question, { account, defaults });
  const changes = stack ? await deployments.plan(stack) : [];
  return {
    of,
    problems,
    stack,
    changes: changes.map((change) => ({ call: change.call, ...describe(change) })),
  };
}

type Wanted = Pick<PlanAnswer, 'of' | 'problems' | 'stack'>;
type Given = Pick<IngressWorld, 'account' | 'defaults'>;

async function wantedOfService(question: PlanQuestion, given: Given): Promise<Wanted> {
  const { client, namespace, name } = question;
  const service = await read<Service>(client, `/api/v1/namespaces/${namespace}/services/${name}`, 'Service');
  const of = `Service ${namespace}/${name}`;
  if (!ownsService(service) && !service.metadata?.finalizers?.includes('service.k8s.aws/resources'))
    throw new Error(
      `${of} asks for no load balancer of ours: it takes type LoadBalancer, and loadBalancerClass service.k8s.aws/nlb or the annotation aws-load-balancer-type`,
    );
  return { of, problems: [], stack: await stackOfService(service, given) };
}

async function wantedOfIngress(question: PlanQuestion, given: Given): Promise<Wanted> {
  const { client, namespace, name } = question;
  const group = '/apis/networking.k8s.io/v1';
  const ingress = await read<Ingress>(
    client,
    `${group}/namespaces/${namespace}/ingresses/${name}`,
    'Ingress',
  );
  const [ingresses, classes, params, namespaces, services] = await Promise.all([
    all<Ingress>(client, `${group}/ingresses`),
    all<IngressClass>(client, `${group}/ingressclasses`),
    all<IngressClassParams>(client, '/apis/elbv2.k8s.aws/v1beta1/ingressclassparams'),
    all<Namespace>(client, '/api/v1/namespaces'),
    all<Service>(client, '/api/v1/services'),
  ]);
  const world: IngressWorld = {
    ...given,
    ingresses: () => ingresses.values(),
    ingressClass: (key) => classes.get(key),
    ingressClassParams: (key) => params.get(key),
    namespace: (key) => namespaces.get(key),
    service: (key) => services.get(key),
  };
  const id: IngressStackId | undefined = stackIdOf(ingress, world) ?? formerStackIds(ingress)[0];
  if (!id)
    throw new Error(
      `Ingress ${namespace}/${name} is not ours: its class must be one of the controller ingress.k8s.aws/alb`,
    );
  const { stack, problems } = await stackOfGroup(id, world);
  return { of: stackInWords(id), problems: problems.map(({ error }) => error.message), stack };
}

async function all<T extends KubeObject>(client: KubeClient, path: string): Promise<Map<string, T>> {
  const { items } = await client.get<List<T>>(path);
  return new Map(items.map((object) => [keyOf(object), object]));
}

async function read<T>(client: KubeClient, path: string, kind: string): Promise<T> {
  try {
    return await client.get<T>(path);
  } catch (error) {
    if (!isNotFound(error)) throw error;
    throw new Error(`there is no ${kind} ${path.split('/').at(-1)} in namespace ${path.split('/').at(-3)}`);
  }
}
