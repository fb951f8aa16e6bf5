/**
 * Times how soon a policy is in force everywhere, with 200 pods on a node: on a lab, from its creation to the last packet
 * that it lets through to any pod.
 */
import { createSocket, type Socket } from 'node:dgram';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseIp } from '@enid/ip';
import type { KubeClient, Pod } from '@enid/kube';
import { type Host, Lab, until } from '@enid/lab';
import { bindUdp, NetNamespace } from '@enid/linux';

/** By node. */
const PODS = { 'node-1': 200, 'node-2': 20 };
type NodeName = keyof typeof PODS;
const ALL_PODS = Object.values(PODS).reduce((sum, count) => sum + count);
/** Some pods are asked at a time, one group after another: each once in 22 ms. In milliseconds. */
const INTERVAL = 2;
const AT_A_TIME = ALL_PODS / 11;
/** How long none has to answer until a policy counts as in force, in milliseconds. */
const SILENCE = 100;
const PORT = 8080;
const POLICIES = '/apis/networking.k8s.io/v1/namespaces/default/networkpolicies';

/** @param name of the lab. @param progress told what is being done. @param rounds how many policies are made. @returns milliseconds. */
export async function enforce(
  name: string,
  host: Host,
  progress: (line: string) => void,
  rounds: number,
): Promise<{ p50: number; p99: number }> {
  try {
    const { labUp } = await import('@enid/lab/up');
    // A type that may have so many pods, by prefixes.
    const env = { ENABLE_PREFIX_DELEGATION: 'true', WARM_PREFIX_TARGET: '1' };
    const instanceType = 'm5.8xlarge';
    const lab = await labUp({ name, nodes: 2, instanceType, kubernetes: true, env }, host, progress);
    await using stack = new AsyncDisposableStack();
    const client = lab.cluster!.client();
    stack.defer(() => client.close());
    progress(`starting ${PODS['node-1']} pods on a node, and ${PODS['node-2']} on another`);
    const pods = await run(client, lab);
    // A pod's own node reaches it always: each is asked from the other one.
    const others = { 'node-1': 'node-2', 'node-2': 'node-1' } as const;
    const sockets = new Map(Object.values(others).map((node) => [node, socketOf(lab, node, stack)] as const));
    const asked = pods.map(({ metadata, spec, status }) => {
      const ns = lab.cluster!.podNamespace(`default/${metadata!.name}`, lab.record.nodes)!;
      stack.defer(() => ns.close());
      const node = lab.record.nodes.find(({ dnsName }) => dnsName === spec!.nodeName)!.name as NodeName;
      return { socket: sockets.get(others[node])!, ns, address: status!.podIP! };
    });
    progress(`making a policy that closes them, ${rounds} times`);
    const asker = new Asker(asked, stack);
    const times: number[] = [];
    for (let round = 0; round < rounds; round++) {
      await until(
        () => asker.silence,
        (silence) => silence < 5 * INTERVAL && asker.everybodyAnswers,
        'pods to answer again',
      );
      const began = performance.now();
      await client.create(POLICIES, {
        apiVersion: 'networking.k8s.io/v1',
        kind: 'NetworkPolicy',
        metadata: { name: 'closed' },
        spec: { podSelector: {}, policyTypes: ['Ingress'] },
      });
      await until(
        () => asker.silence,
        (silence) => silence > SILENCE,
        'the policy to be in force',
      );
      times.push(asker.lastAnswered - began);
      await client.delete(`${POLICIES}/closed`);
    }
    times.sort((a, b) => a - b);
    const at = (share: number) => Number(times[Math.min(rounds - 1, Math.floor(share * rounds))]!.toFixed(1));
    return { p50: at(0.5), p99: at(0.99) };
  } finally {
    await Lab.down(name);
  }
}

function socketOf(lab: Lab, node: NodeName, stack: AsyncDisposableStack): Socket {
  using ns = NetNamespace.named(lab.node(node).record.namespace);
  const socket = createSocket('udp4').bind({ fd: bindUdp(ns, parseIp('0.0.0.0'), 0) });
  stack.defer(() => void socket.close());
  return socket;
}

async function run(client: KubeClient, lab: Lab): Promise<Pod[]> {
  const wanted = Object.entries(PODS).flatMap(([node, count]) =>
    Array.from({ length: count }, (_, n) => ({ node, name: `${node}-pod-${n}` })),
  );
  for (const { node, name } of wanted) {
    const spec = {
      nodeName: lab.node(node).record.dnsName,
      terminationGracePeriodSeconds: 0,
      containers: [{ name: 'pause', image: 'registry.k8s.io/pause:3.9' }],
    };
    await client.create<object>('/api/v1/namespaces/default/pods', {
      ...{ apiVersion: 'v1', kind: 'Pod' },
      ...{ metadata: { name }, spec },
    });
  }
  for (;;) {
    const { items } = await client.get<{ items: Pod[] }>('/api/v1/namespaces/default/pods');
    const running = items.filter(({ status }) => status?.phase === 'Running');
    if (running.length === wanted.length) return running;
    await sleep(500);
  }
}

type Asked = { readonly socket: Socket; readonly ns: NetNamespace; readonly address: string };

/** Asks pods all the time, by datagrams that they answer. */
class Asker {
  /** When each pod's latest question was asked that it answered, by the clock of `performance`. */
  readonly #answered = new Map<string, number>();
  readonly #pods: number;

  constructor(pods: readonly Asked[], stack: AsyncDisposableStack) {
    this.#pods = pods.length;
    for (const socket of new Set(pods.map((pod) => pod.socket))) {
      socket.on('message', (question, { address }) => this.#answered.set(address, Number(question)));
    }
    for (const { ns, address } of pods) {
      const echo = createSocket('udp4').bind({ fd: bindUdp(ns, parseIp(address), PORT) });
      echo.on('message', (question, { address: to, port }) => echo.send(question, port, to, () => {}));
      stack.defer(() => void echo.close());
    }
    let turn = 0;
    const timer = setInterval(() => {
      const question = String(performance.now());
      const from = (turn++ * AT_A_TIME) % pods.length;
      for (const { socket, address } of pods.slice(from, from + AT_A_TIME)) {
        socket.send(question, PORT, address, () => {});
      }
    }, INTERVAL);
    stack.defer(() => clearInterval(timer));
  }

  /** When the latest question was asked that any answered. */
  get lastAnswered(): number {
    return Math.max(0, ...this.#answered.values());
  }

  /** Milliseconds since then. */
  get silence(): number {
    return performance.now() - this.lastAnswered;
  }

  /** Whether each pod has answered lately. */
  get everybodyAnswers(): boolean {
    const since = performance.now() - SILENCE;
    return this.#answered.size === this.#pods && Math.min(...this.#answered.values()) > since;
  }
}
