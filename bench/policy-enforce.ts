/** Times how soon a policy is in force on a node of 200 pods: on a lab, from its creation to the last packet that it lets through. */
import { createSocket } from 'node:dgram';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseIp } from '@enid/ip';
import type { KubeClient, Pod } from '@enid/kube';
import { type Host, Lab, until } from '@enid/lab';
import { bindUdp, NetNamespace } from '@enid/linux';

const PODS = 200;
/** Pods that are asked all the time, how often (milliseconds), and how long none has to answer until a policy counts as in force. */
const ASKED = 10;
const INTERVAL = 2;
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
    progress(`starting ${PODS} pods on a node`);
    const pods = await run(client, lab);
    const asked = pods
      .filter((_, n) => n % (PODS / ASKED) === 0)
      .map(({ metadata, status }) => {
        const ns = lab.cluster!.podNamespace(`default/${metadata!.name}`, lab.record.nodes)!;
        stack.defer(() => ns.close());
        return { ns, address: status!.podIP! };
      });
    progress(`making a policy that closes them, ${rounds} times`);
    const node = NetNamespace.named(lab.node('node-2').record.namespace);
    stack.defer(() => node.close());
    const asker = new Asker(node, asked, stack);
    const times: number[] = [];
    for (let round = 0; round < rounds; round++) {
      await until(
        () => asker.silence,
        (silence) => silence < 5 * INTERVAL,
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

async function run(client: KubeClient, lab: Lab): Promise<Pod[]> {
  const spec = {
    nodeName: lab.node('node-1').record.dnsName,
    terminationGracePeriodSeconds: 0,
    containers: [{ name: 'pause', image: 'registry.k8s.io/pause:3.9' }],
  };
  for (let n = 0; n < PODS; n++) {
    await client.create<object>('/api/v1/namespaces/default/pods', {
      ...{ apiVersion: 'v1', kind: 'Pod' },
      ...{ metadata: { name: `pod-${n}` }, spec },
    });
  }
  for (;;) {
    const { items } = await client.get<{ items: Pod[] }>('/api/v1/namespaces/default/pods');
    const running = items.filter(({ status }) => status?.phase === 'Running');
    if (running.length === PODS) return running;
    await sleep(500);
  }
}

/** Asks pods all the time, by datagrams that they answer. */
class Asker {
  /** When the latest question was asked that was answered, by the clock of `performance`. */
  lastAnswered = 0;

  constructor(
    from: NetNamespace,
    pods: readonly { readonly ns: NetNamespace; readonly address: string }[],
    stack: AsyncDisposableStack,
  ) {
    const socket = createSocket('udp4').bind({ fd: bindUdp(from, parseIp('0.0.0.0'), 0) });
    socket.on('message', (question) => {
      this.lastAnswered = Math.max(this.lastAnswered, Number(question));
    });
    stack.defer(() => void socket.close());
    for (const { ns, address } of pods) {
      const echo = createSocket('udp4').bind({ fd: bindUdp(ns, parseIp(address), PORT) });
      echo.on('message', (question, { address: to, port }) => echo.send(question, port, to, () => {}));
      stack.defer(() => void echo.close());
    }
    const timer = setInterval(() => {
      const question = String(performance.now());
      for (const { address } of pods) socket.send(question, PORT, address, () => {});
    }, INTERVAL);
    stack.defer(() => clearInterval(timer));
  }

  /** Milliseconds since then. */
  get silence(): number {
    return performance.now() - this.lastAnswered;
  }
}
