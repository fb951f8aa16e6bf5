/** Nodes whose pods have addresses of prefixes: of a lab without Kubernetes, or of the given cluster. */
import assert from 'node:assert/strict';
import type { List, Node, Pod } from '@enid/kube';
import { run } from './enid.ts';
import { Stations } from './stations.ts';

export interface PrefixBed extends AsyncDisposable {
  /** The node that is looked at. */
  readonly node: string;
  /** How many more pods it takes. */
  readonly room: number;
  /** Runs pods on it, or on another. @returns their addresses. */
  pods(names: readonly string[], where: 'here' | 'elsewhere'): Promise<string[]>;
  /** Runs a command in a pod to its end. @returns what it prints. */
  exec(pod: string, ...command: string[]): Promise<string>;
  /** The same on the node. */
  onNode(...command: string[]): Promise<string>;
}

/** The first ENI of a node of this lab, a t3.micro, holds one prefix. */
export async function labBed(name: string): Promise<PrefixBed> {
  const lab = async (command: string, ...args: string[]): Promise<string> => {
    const { status, stdout, stderr } = await run('lab', command, '--name', name, ...args);
    assert.equal(status, 0, stderr + stdout);
    return stdout;
  };
  const prefixes = ['--set', 'ENABLE_PREFIX_DELEGATION=true'];
  await lab('down');
  await lab('up', '--bare', '--nodes', '2', '--instance-type', 't3.micro', ...prefixes);
  const node = 'node-1';
  return {
    node,
    room: Infinity,
    async pods(names, where) {
      const addresses: string[] = [];
      for (const pod of names) {
        const made = await lab('run', pod, '--node', where === 'here' ? node : 'node-2');
        addresses.push(/has (\S+) on/.exec(made)![1]!);
      }
      return addresses;
    },
    exec: (pod, ...command) => lab('exec', pod, '--', ...command),
    onNode: (...command) => lab('exec', node, '--', ...command),
    async [Symbol.asyncDispose]() {
      await lab('down');
    },
  };
}

export async function givenBed(kubeconfig: string, namespace: string): Promise<PrefixBed> {
  await using stack = new AsyncDisposableStack();
  const stations = stack.use(new Stations(kubeconfig));
  const [node, other] = (await stations.nodes(2)) as [string, string];
  await stations.namespace(namespace);
  stack.defer(() => stations.remove(namespace));
  const [host] = await stations.start([{ name: 'host', namespace, node, ofNode: true }]);
  const { status } = await stations.client.get<Node>(`/api/v1/nodes/${node}`);
  const there = await stations.client.get<List<Pod>>('/api/v1/pods', {
    fieldSelector: `spec.nodeName=${node}`,
  });
  const all = stack.move();
  return {
    node,
    room: Number(status!.allocatable!.pods) - there.items.length,
    async pods(names, where) {
      const on = where === 'here' ? node : other;
      const started = await stations.start(names.map((name) => ({ name, namespace, node: on })));
      return started.map(({ address }) => address);
    },
    exec: (name, ...command) => stations.output({ name, namespace }, command),
    onNode: (...command) => stations.output(host!, command),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}
