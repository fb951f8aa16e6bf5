import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { upTo } from '../arguments.ts';
import { host, requireRoot } from '../host.ts';
import { shellWord } from '../shell-word.ts';

const collect = (text: string, soFar: Record<string, string> = {}) => {
  const match = /^([A-Za-z_][A-Za-z0-9_]*)=(.*)$/s.exec(text);
  if (!match) throw new InvalidArgumentError('It takes the form ENV=VALUE.');
  return { ...soFar, [match[1]!]: match[2]! };
};

/** Leaves a cluster's kubeconfig in `.enid` of the working directory, for its owner alone. @returns its path. */
function writeKubeconfig(from: string): string {
  const folder = resolve('.enid');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const file = `${folder}/kubeconfig`;
  writeFileSync(`${file}.new`, readFileSync(from), { mode: 0o600 });
  renameSync(`${file}.new`, file);
  return file;
}

/** Takes away what {@link writeKubeconfig} left for a lab that is gone. */
function removeKubeconfig(name: string): void {
  const file = resolve('.enid/kubeconfig');
  if (!existsSync(file)) return;
  const { 'current-context': context } = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  if (context === `enid-${name}`) rmSync(file);
}

export default function lab(program: Command): void {
  // Positional options, so that those of the command that `exec` runs stay its own.
  const group = program
    .enablePositionalOptions()
    .command('lab')
    .description('a VPC with EC2 nodes on this machine')
    .enablePositionalOptions();
  const command = (usage: string, description: string) =>
    group
      .command(usage)
      .description(description)
      .option('--name <lab>', 'which lab', 'lab')
      .hook('preAction', () => requireRoot(`enid lab ${usage.split(' ')[0]}`));

  command('up', 'build a VPC and start nodes with agents in it')
    .option('--nodes <n>', 'how many nodes', upTo(50), 2)
    .option('--instance-type <type>', 'EC2 instance type of the nodes', 't3.medium')
    .option('--set <env=value>', 'environment of the agents; may be repeated', collect)
    .option('--bare', 'without Kubernetes: agents alone, and pods that are network namespaces')
    .action(
      async (options: {
        name: string;
        nodes: number;
        instanceType: string;
        set?: Record<string, string>;
        bare?: boolean;
      }) => {
        const [{ interruptible }, { labUp }, { describeLab }] = await Promise.all([
          import('@enid/lab'),
          import('@enid/lab/up'),
          import('@enid/lab/status'),
        ]);
        const started = await interruptible(options.name, () =>
          labUp({ ...options, env: options.set ?? {}, kubernetes: !options.bare }, host, (line) =>
            console.error(line),
          ),
        );
        const file = started.cluster && writeKubeconfig(started.cluster.kubeconfigFile);
        console.log(await describeLab(started));
        if (file) console.log(`export KUBECONFIG=${shellWord(file)}`);
      },
    );

  command('status', 'show the nodes, ENIs and pods of a lab')
    .option('--json', 'as JSON')
    .action(async (options: { name: string; json?: boolean }) => {
      const { Lab } = await import('@enid/lab');
      const { describeLab, labStatus } = await import('@enid/lab/status');
      const open = Lab.open(options.name, host);
      console.log(options.json ? JSON.stringify(await labStatus(open), null, 2) : await describeLab(open));
    });

  command(
    'run <pod>',
    'start a pod in a lab without Kubernetes: a network namespace wired by the CNI executable',
  )
    .option('--node <node>', 'where', 'node-1')
    .option('--namespace <namespace>', 'its Kubernetes namespace', 'default')
    .action(async (name: string, options: { name: string; node: string; namespace: string }) => {
      const { Lab } = await import('@enid/lab');
      const open = Lab.open(options.name, host);
      const pod = await open.barePods.add(open.node(options.node), name, options.namespace);
      console.log(
        `pod ${pod.namespace}/${pod.name} has ${pod.address} on ${pod.node}, by ${pod.hostInterface}`,
      );
    });

  command('delete <pod>', 'end such a pod; its address cools down before it is given out again').action(
    async (name: string, options: { name: string }) => {
      const { Lab, LabError } = await import('@enid/lab');
      const open = Lab.open(options.name, host);
      const pod = open.barePods.find(name);
      if (!pod) throw new LabError(`there is no pod "${name}": "enid lab status" lists them`);
      await open.barePods.delete(open.node(pod.node), pod);
    },
  );

  command('exec <target> <command...>', 'run a command inside a node or a pod, in "vpc" or in "internet"')
    .passThroughOptions()
    .action(async (target: string, words: string[], options: { name: string }) => {
      const [first = '', ...rest] = words[0] === '--' ? words.slice(1) : words;
      // A checkout is on no PATH.
      const argv: [string, ...string[]] = first === 'enid' ? [...host.enid, ...rest] : [first, ...rest];
      const { Lab } = await import('@enid/lab');
      const child = Lab.open(options.name, host).spawn(target, argv, 'inherit');
      // The terminal sends Ctrl-C to both; the command decides what it means.
      process.on('SIGINT', () => {});
      process.exitCode = await new Promise<number>((resolve, reject) => {
        child.once('error', (error: NodeJS.ErrnoException) =>
          reject(error.code === 'ENOENT' ? new Error(`there is no program "${argv[0]}" on PATH`) : error),
        );
        child.once('exit', (code) => resolve(code ?? 1));
      });
    });

  command(
    'env',
    'print what lets AWS clients, kubectl and enid lb reach a lab: eval "$(enid lab env)"',
  ).action(async (options: { name: string }) => {
    const { awsEnvironment, Lab } = await import('@enid/lab');
    const { record, cluster } = Lab.open(options.name, host);
    const variables = {
      ...awsEnvironment(record.region, record.ec2Endpoint),
      ...(cluster && { KUBECONFIG: cluster.kubeconfigFile }),
      // What the lab's controller has, for `enid lb plan`.
      ...(cluster && { CLUSTER_NAME: options.name, AWS_VPC_ID: record.topology.vpcId }),
    };
    for (const [name, value] of Object.entries(variables)) console.log(`export ${name}=${value}`);
  });

  command('resume', 'start again what was killed: AWS APIs, control plane, agents and nodes').action(
    async (options: { name: string }) => {
      const { labResume } = await import('@enid/lab/up');
      const started = await labResume(options.name, host);
      console.error(started.length > 0 ? `started ${started.join(', ')}` : 'everything runs');
    },
  );

  command('down', 'take a lab away with all that is in it').action(async (options: { name: string }) => {
    const { claimLab, Lab } = await import('@enid/lab');
    using _claim = await claimLab(options.name);
    const existed = await Lab.down(options.name);
    removeKubeconfig(options.name);
    console.error(existed ? `lab "${options.name}" is gone` : `there was no lab "${options.name}"`);
  });

  const node = group.command('node').description('the nodes of a cluster');
  node
    .command('add')
    .description('start an EC2 instance and have it join')
    .option('--name <lab>', 'which lab', 'lab')
    .option('--instance-type <type>', 'its EC2 instance type', 't3.medium')
    .action(async (options: { name: string; instanceType: string }) => {
      requireRoot('enid lab node add');
      const { addNode } = await import('@enid/lab/up');
      const added = await addNode(options.name, options.instanceType, host, (line) => console.error(line));
      console.log(`${added.name} is ready: ${added.dnsName}, ${added.instanceId} in ${added.subnet}`);
    });
  node
    .command('stop <node>')
    .description(
      'end all that runs on a node at once, as if its power failed; "enid lab resume" starts it again',
    )
    .option('--name <lab>', 'which lab', 'lab')
    .action(async (name: string, options: { name: string }) => {
      requireRoot('enid lab node stop');
      const { stopNode } = await import('@enid/lab/up');
      const { dnsName } = await stopNode(options.name, name, host);
      console.log(`nothing runs on ${name} (${dnsName}) any more; the cluster notices within 40 s`);
    });
  node
    .command('remove <node>')
    .description('end the instance of a node, which is to be drained before')
    .option('--name <lab>', 'which lab', 'lab')
    .action(async (name: string, options: { name: string }) => {
      requireRoot('enid lab node remove');
      const { removeNode } = await import('@enid/lab/up');
      const removed = await removeNode(options.name, name, host);
      console.log(`${removed.name} is gone: ${removed.dnsName}, ${removed.instanceId}`);
    });

  group
    .command('control-plane', { hidden: true })
    .requiredOption('--name <lab>')
    .action(async (options: { name: string }) => {
      const { runControlPlane } = await import('@enid/lab/control-plane');
      await runControlPlane(options.name);
    });
  group.command('kubelet <config>', { hidden: true }).action(async (file: string) => {
    const { runKubelet } = await import('@enid/lab/kubelet');
    await runKubelet(file);
  });
  group
    .command('cloud', { hidden: true })
    .requiredOption('--name <lab>')
    .action(async (options: { name: string }) => {
      const { runLabCloud } = await import('@enid/lab/cloud');
      await runLabCloud(options.name);
    });
}
