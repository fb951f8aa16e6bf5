import type { PolicyQuestion } from '@enid/agent';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { podName } from '../arguments.ts';

type Explain = {
  readonly from: string;
  readonly to: string;
  readonly port: number;
  readonly protocol: PolicyQuestion['protocol'];
  readonly json?: boolean;
};

const podOrAddress = (text: string): string => (/^[\d.]+$|:/.test(text) ? text : podName(text));

function portNumber(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port < 1 || port > 65_535)
    throw new InvalidArgumentError('It takes a number from 1 to 65535.');
  return port;
}

/** `enid policy`: what network policies make of connections. */
export default function policy(program: Command): void {
  const group = program.command('policy').description('what network policies make of connections');
  group
    .command('explain')
    .description('tell which policies select two ends, which rule decides, and what the kernel holds')
    .requiredOption('--from <namespace/pod>', 'who connects', podName)
    .requiredOption('--to <namespace/pod|address>', 'to whom', podOrAddress)
    .requiredOption('--port <n>', "the other end's port", portNumber)
    .addOption(
      new Option('--protocol <name>', 'of the connection').choices(['TCP', 'UDP', 'SCTP']).default('TCP'),
    )
    .option('--json', 'as JSON')
    .addHelpText(
      'after',
      `
The agents of both nodes are asked, by their aws-node pods (KUBECONFIG). Of an address that no pod has, such as a Service's, only what
leaves the one is told: ask for a pod behind it to know of the other.

  enid policy explain --from shop/web --to shop/db-0 --port 5432
  enid policy explain --from shop/web --to 198.51.100.10 --port 443 --json`,
    )
    .action(async (options: Explain) => {
      const { ClusterAgents } = await import('../cluster-agents.ts');
      const { drawExplanation, explainPolicies } = await import('../policy-explanation.ts');
      using agents = new ClusterAgents();
      const explanation = await explainPolicies(agents, options);
      console.log(options.json ? JSON.stringify(explanation, null, 2) : drawExplanation(explanation));
    });
  group
    .command('ask <question>', { hidden: true })
    .description("one side's answer, of the agent of this node, as JSON")
    .action(async (question: string) => {
      const { command } = await import('../agent-client.ts');
      console.log(JSON.stringify(await command('/v1/policy/explain', JSON.parse(question))));
    });
}
