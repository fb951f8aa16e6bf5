/** The TargetGroupBindings of stacks, known by their labels as those of the AWS Load Balancer Controller are. */
import { createHash } from 'node:crypto';
import type { Ipv4Cidr } from '@enid/ip';
import { isAlreadyExists, isNotFound, type KubeClient, type LabelSelector, type List } from '@enid/kube';
import type { BindingSpec, LabelSelectorSpec, NetworkingRule, StackId } from '../model/stack.ts';
import {
  BINDINGS,
  bindingPath,
  GROUP_VERSION,
  type TargetGroupBinding,
  type TargetGroupBindingSpec,
} from '../targets/objects.ts';
import { type ExistingBinding, type ExistingTargetGroup, stackOfKey } from './existing.ts';
import type { References } from './match.ts';
import { NotYet } from './not-yet.ts';

/** Values of labels have 63 characters at most, names of Ingresses may have more. */
const labelValue = (name: string): string =>
  name.length <= 63
    ? name
    : `${name.slice(0, 52)}-${createHash('sha256').update(name).digest('hex').slice(0, 10)}`;

export function stackLabels(id: StackId): Record<string, string> {
  const prefix = `${id.kind}.k8s.aws`;
  return 'group' in id
    ? { [`${prefix}/stack`]: labelValue(id.group) }
    : {
        [`${prefix}/stack-namespace`]: id.namespace,
        [`${prefix}/stack-name`]: labelValue(id.name),
      };
}

/** The stack that labels name; undefined for others' bindings, and for names that did not fit. */
export function stackIdOfLabels(labels: Readonly<Record<string, string>> | undefined): StackId | undefined {
  for (const kind of ['service', 'ingress'] as const) {
    const group = labels?.[`${kind}.k8s.aws/stack`];
    if (group && kind === 'ingress') return { kind, group };
    const namespace = labels?.[`${kind}.k8s.aws/stack-namespace`];
    const name = labels?.[`${kind}.k8s.aws/stack-name`];
    if (namespace && name) return stackOfKey(`${kind} ${namespace}/${name}`);
  }
  return undefined;
}

/** What is done with them. */
export type BindingStore = Pick<Bindings, 'list' | 'create' | 'replace' | 'delete'>;

export class Bindings {
  readonly #client: KubeClient;

  constructor(client: KubeClient) {
    this.#client = client;
  }

  async list(id: StackId): Promise<ExistingBinding[]> {
    const labelSelector = Object.entries(stackLabels(id))
      .map(([key, value]) => `${key}=${value}`)
      .join();
    const { items } = await this.#client.get<List<TargetGroupBinding>>(BINDINGS, { labelSelector });
    return items.map(({ metadata, spec }) => ({
      namespace: metadata!.namespace!,
      name: metadata!.name!,
      targetGroupArn: spec.targetGroupARN ?? '',
      spec: fromWire(metadata!.namespace!, spec),
    }));
  }

  /** @throws {NotYet} while one of the same name is still going. */
  async create(id: StackId, group: ExistingTargetGroup, spec: BindingSpec, to: References): Promise<void> {
    const { namespace } = spec;
    try {
      await this.#client.create<TargetGroupBinding>(bindingPath(namespace), {
        apiVersion: GROUP_VERSION,
        kind: 'TargetGroupBinding',
        metadata: { name: group.name, namespace, labels: stackLabels(id) },
        spec: toWire(group, spec, to),
      });
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      throw new NotYet(`TargetGroupBinding ${namespace}/${group.name} of before is still there`);
    }
  }

  async replace(group: ExistingTargetGroup, spec: BindingSpec, to: References): Promise<void> {
    const patch = [{ op: 'replace', path: '/spec', value: toWire(group, spec, to) }];
    await this.#client.patch(bindingPath(spec.namespace, group.name), patch, 'json');
  }

  /** @throws {NotYet} until the targets of all are deregistered, and they are gone. */
  async delete(bindings: readonly { readonly namespace: string; readonly name: string }[]): Promise<void> {
    const paths = bindings.map(({ namespace, name }) => bindingPath(namespace, name));
    const isGone = (request: Promise<unknown>) =>
      request.then(
        () => false,
        (error) => {
          if (isNotFound(error)) return true;
          throw error;
        },
      );
    await Promise.all(paths.map((path) => isGone(this.#client.delete(path))));
    const gone = await Promise.all(paths.map((path) => isGone(this.#client.get(path))));
    const left = bindings.filter((_, index) => !gone[index]);
    if (left.length === 0) return;
    const [{ namespace, name }] = left as [(typeof left)[number]];
    throw new NotYet(`TargetGroupBinding ${namespace}/${name} still has targets, of ${left.length} to go`);
  }
}

function toWire(
  { arn, targetType }: ExistingTargetGroup,
  { service, nodeSelector, networking }: BindingSpec,
  { securityGroup }: References,
): TargetGroupBindingSpec {
  const ingress = networking.map(({ from, ports }) => ({
    from: from.map((peer) =>
      'cidr' in peer
        ? { ipBlock: { cidr: peer.cidr } }
        : { securityGroup: { groupID: securityGroup(peer.securityGroup)! } },
    ),
    ports: ports.map(({ protocol, port }) => ({ protocol, ...(port !== undefined && { port }) })),
  }));
  return {
    targetGroupARN: arn,
    targetType,
    serviceRef: service,
    ...(nodeSelector && { nodeSelector: nodeSelector as LabelSelector }),
    ...(ingress.length > 0 && { networking: { ingress } }),
  };
}

function fromWire(
  namespace: string,
  { serviceRef, nodeSelector, networking }: TargetGroupBindingSpec,
): BindingSpec {
  return {
    namespace,
    service: serviceRef,
    ...(nodeSelector && { nodeSelector: nodeSelector as LabelSelectorSpec }),
    networking: (networking?.ingress ?? []).map(
      ({ from, ports }): NetworkingRule => ({
        from: from.map((peer) =>
          peer.ipBlock
            ? { cidr: peer.ipBlock.cidr as Ipv4Cidr }
            : { securityGroup: { id: peer.securityGroup?.groupID ?? '' } },
        ),
        ports: ports.map(({ protocol = 'TCP', port }) => ({
          protocol,
          ...(port !== undefined && { port }),
        })),
      }),
    ),
  };
}
