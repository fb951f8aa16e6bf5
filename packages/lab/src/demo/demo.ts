import type { Host } from '../base/record.ts';
import type { ClusterNode } from '../cluster/node.ts';
import { ClusterPods } from '../cluster/pods.ts';
import { claimEmptyLab } from '../lab/claim.ts';
import { ec2Client } from '../lab/ec2.ts';
import { interruptible } from '../lab/interruptible.ts';
import { Lab } from '../lab/lab.ts';
import { elbClient } from '../lab/load-balancers.ts';
import { labUp } from '../lab/up.ts';
import { type Check, COOLDOWN_SECONDS } from './check.ts';
import { addresses } from './checks/addresses.ts';
import { agentRestart } from './checks/agent-restart.ts';
import { internet } from './checks/internet.ts';
import { nodeNetwork } from './checks/node-network.ts';
import { podLimit } from './checks/pod-limit.ts';
import { podToPod } from './checks/pod-to-pod.ts';
import { Evidence } from './evidence.ts';
import { serviceChecks } from './services/index.ts';

export type CheckResult = { readonly name: string; readonly ok: boolean; readonly detail: string };

const NAME = 'demo';

/** In this order: each builds on the pods of the ones before. */
const POD_CHECKS: readonly Check[] = [addresses, nodeNetwork, podToPod, internet, podLimit, agentRestart];

/**
 * Builds a lab of two t3.medium nodes, runs the checks, prints them with their evidence, and takes the lab away.
 * @param options.services the checks of load balancers, and not those of pods.
 * @param options.json print `{"ok", "checks": [{"name", "ok", "detail"}]}` on stdout and nothing else there.
 * @param options.keep leave the lab running.
 * @returns whether every check held.
 */
export async function runDemo(
  host: Host,
  options: { json: boolean; keep: boolean; services: boolean },
): Promise<boolean> {
  const wanted = options.services ? serviceChecks() : POD_CHECKS;
  using _claim = await claimEmptyLab(NAME);
  const started = Date.now();
  const say = (text: string) => (options.json ? process.stderr : process.stdout).write(`${text}\n`);
  const clean = async () => {
    if (options.keep && stands)
      say(`The lab stays: enid lab status --name ${NAME}, enid lab down --name ${NAME}`);
    else await Lab.down(NAME);
  };
  const checks: CheckResult[] = [];
  /** A lab that did not come up has been taken away. */
  let stands = false;
  const build = async (stack: AsyncDisposableStack) => {
    try {
      const lab = await labUp(
        {
          name: NAME,
          nodes: 2,
          instanceType: 't3.medium',
          kubernetes: true,
          env: { IP_COOLDOWN_PERIOD: String(COOLDOWN_SECONDS) },
        },
        host,
        say,
      );
      stands = true;
      const ec2 = ec2Client(lab.record);
      const elbv2 = elbClient(lab.record);
      const cluster = lab.cluster!;
      const client = cluster.client();
      stack.defer(() => client.close());
      const pods = new ClusterPods(client);
      const [red, blue] = lab.record.nodes.map((record) => cluster.node(record)) as [
        ClusterNode,
        ClusterNode,
      ];
      for (const { name, run } of wanted) {
        const evidence = new Evidence();
        const failure = await run({ lab, red, blue, client, pods, ec2, elbv2, evidence }).then(
          () => undefined,
          (error: Error) => error,
        );
        // The lab was taken from under it.
        if (stack.disposed) return;
        const ok = failure === undefined;
        const detail = [evidence.toString(), failure?.message].filter(Boolean).join('\n✗ ');
        checks.push({ name, ok, detail });
        say(`\n${checks.length}. ${name}: ${ok ? 'ok' : 'FAILED'}\n${detail.replace(/^/gm, '   ')}`);
      }
    } catch (error) {
      if (stack.disposed) return;
      const { message } = error as Error;
      checks.push({ name: 'The lab comes up', ok: false, detail: message });
      say(`\nthe lab did not come up: ${message}`);
    } finally {
      if (!stack.disposed) await clean();
    }
  };
  await interruptible(NAME, build, say);
  const ok = checks.every((check) => check.ok);
  const held = checks.filter((check) => check.ok).length;
  say(`\n${held} of ${wanted.length} checks hold, in ${Math.round((Date.now() - started) / 1000)} s`);
  if (options.json) process.stdout.write(`${JSON.stringify({ ok, checks })}\n`);
  return ok;
}
