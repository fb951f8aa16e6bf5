/**
 * For tests: an agent that can be killed, and pods that the kernel has: what it wired outlives it in network namespaces.
 *
 * Run as a program with a folder and the name of a testbed, it lives a life: pods come and go, by themselves and together.
 */
import { NetNamespace } from '@enid/linux';
import { MortalAgent, pass, type Wiring } from '../pool/mortal-agent.fixture.ts';
import { LinuxNodeNetwork } from './node-network.ts';
import type { Pods } from './pods.ts';
import { networkOptions, primaryEni, VPC_CIDR } from './testbed.ts';

/** The pods of {@link live}, which need namespaces. */
export const LIVING = 5;

/** A node's network and its agent, as `agent.ts` puts them together. */
export class MortalNode implements AsyncDisposable {
  readonly network: LinuxNodeNetwork;
  readonly agent: MortalAgent;

  private constructor(network: LinuxNodeNetwork, agent: MortalAgent) {
    this.network = network;
    this.agent = agent;
  }

  /** @param folder what outlives the agent. @param bed name of the testbed. */
  static async start(folder: string, bed: string, env: NodeJS.ProcessEnv): Promise<MortalNode> {
    const network = new LinuxNodeNetwork(networkOptions(), NetNamespace.open(`/run/netns/${bed}-node`));
    await network.setup({ primaryEni, vpcCidrs: [VPC_CIDR] });
    const wiring: Wiring = { pods: network.pods, netns: (pod) => netnsOf(bed, pod) };
    const agent = await MortalAgent.start(folder, env, wiring);
    await network.reconcile(agent.pool.assignments());
    return new MortalNode(network, agent);
  }

  get pods(): Pods {
    return this.network.pods;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent[Symbol.asyncDispose]();
    await this.network.close();
  }
}

/** The namespace of a pod: the testbed made as many as there are, before the agent began. */
export const netnsOf = (bed: string, pod: number): string => `/run/netns/${bed}-pod${pod + 1}`;

async function live({ agent }: MortalNode): Promise<void> {
  const { clock } = agent;
  const calls = (call: 'ADD' | 'DEL', ...pods: number[]) =>
    pass(
      clock,
      1_000,
      pods.map((pod) => agent.call(call, pod)),
    );
  await calls('ADD', 0);
  await calls('ADD', 1);
  await calls('ADD', 2, 3);
  await calls('DEL', 1);
  await Promise.all([calls('DEL', 2, 3), calls('ADD', 4)]);
}

const [, , folder, bed] = process.argv;
if (import.meta.main && folder && bed) {
  await using node = await MortalNode.start(folder, bed, process.env);
  await live(node);
}
