import { createHash } from 'node:crypto';
import { NetNamespace, Rtnetlink, setLink } from '@enid/linux';
import type { LabDirectory } from '../base/directory.ts';
import type { Attachment, CniResult } from './cni-runtime.ts';
import type { LabNode } from './node.ts';

/** A pod of the lab: a network namespace that a node's CNI plugin has wired. */
export type Pod = {
  readonly namespace: string;
  readonly name: string;
  readonly node: string;
  /** Name of its network namespace. */
  readonly netns: string;
  readonly containerId: string;
  readonly address: string;
  /** Of the host's end of its veth pair. */
  readonly hostInterface: string;
  readonly result: CniResult;
};

const NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** The pods of one lab, on record and in the kernel. */
export class LabPods {
  readonly #directory: LabDirectory;

  constructor(directory: LabDirectory) {
    this.#directory = directory;
  }

  list(): Pod[] {
    return this.#directory.readAll<Pod>('pods').sort((a, b) => a.name.localeCompare(b.name));
  }

  /** @param name `name` in namespace `default`, or `namespace/name`. */
  find(name: string): Pod | undefined {
    const [namespace, pod] = name.includes('/') ? name.split('/') : ['default', name];
    return this.#directory.read<Pod>('pods', `${namespace}_${pod}.json`);
  }

  /** A pod's network namespace; undefined without such a pod. Close it after use. */
  namespace(name: string): NetNamespace | undefined {
    const pod = this.find(name);
    return pod && NetNamespace.named(pod.netns);
  }

  /**
   * Makes the pod's namespace and has it wired by the node's CNI executable.
   * @throws {CniError} when the plugin refuses; nothing of the pod is left then.
   */
  async add(node: LabNode, name: string, namespace = 'default'): Promise<Pod> {
    for (const part of [namespace, name]) {
      if (!NAME.test(part))
        throw new Error(`"${part}" cannot name a pod: use lower-case letters, digits and dashes`);
    }
    if (this.find(`${namespace}/${name}`)) throw new Error(`pod ${namespace}/${name} exists already`);
    const netns = `${this.#directory.prefix}-pod-${namespace}.${name}`;
    createSandbox(netns);
    const containerId = createHash('sha256').update(`${netns} ${process.hrtime.bigint()}`).digest('hex');
    try {
      const result = await node.cniRuntime().add(attachment({ namespace, name, netns, containerId }));
      const pod: Pod = {
        namespace,
        name,
        node: node.name,
        netns,
        containerId,
        address: result.ips![0]!.address.split('/')[0]!,
        hostInterface: result.interfaces!.find((link) => !link.sandbox)!.name,
        result,
      };
      this.#directory.write(pod, 'pods', `${namespace}_${name}.json`);
      return pod;
    } catch (error) {
      NetNamespace.delete(netns);
      throw error;
    }
  }

  /** Has the pod unwired and takes its namespace away. @throws {CniError} */
  async delete(node: LabNode, pod: Pod): Promise<void> {
    await node.cniRuntime().del(attachment(pod), pod.result);
    NetNamespace.delete(pod.netns);
    this.#directory.delete('pods', `${pod.namespace}_${pod.name}.json`);
  }
}

/** A network namespace with its loopback up, as container runtimes make one before they call a plugin. */
function createSandbox(name: string): void {
  using namespace = NetNamespace.create(name);
  using rtnetlink = Rtnetlink.open(namespace);
  rtnetlink.execute([setLink('lo', { up: true })]);
}

function attachment(pod: Pick<Pod, 'namespace' | 'name' | 'netns' | 'containerId'>): Attachment {
  return {
    containerId: pod.containerId,
    netns: `/run/netns/${pod.netns}`,
    ifName: 'eth0',
    args: {
      IgnoreUnknown: '1',
      K8S_POD_NAMESPACE: pod.namespace,
      K8S_POD_NAME: pod.name,
      K8S_POD_INFRA_CONTAINER_ID: pod.containerId,
    },
  };
}
