/**
 * Times the CNI executable against Debian's `ptp` with `host-local`, in one run on one node of a lab, so that the
 * machine's noise is in both. Each plugin's executable is called as a runtime calls it.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { claimEmptyLab, type Host, Lab, until } from '@enid/lab';
import type { LabStatus } from '@enid/lab/status';
import { NetNamespace, Rtnetlink } from '@enid/linux';
import { prepare } from './launcher.ts';

const NAME = 'bench';
const BURST = 50;
const BURSTS = 9;
const ROUND = 25;

/** Milliseconds. */
type Percentiles = { p50: number; p99: number };

export type PodAddResult = {
  enid: { add_ms: Percentiles; del_ms: Percentiles; burst50_ms: number };
  ptp: { add_ms: Percentiles; del_ms: Percentiles; burst50_ms: number };
  /** Enid's time as a fraction of ptp's. */
  ratio: { add_p50: number; del_p50: number; burst50: number };
};

/** A CNI plugin, and how it fared. Times are milliseconds. */
type Contender = {
  readonly plugin: string;
  readonly config: string;
  readonly env: readonly string[];
  readonly add: number[];
  readonly del: number[];
  readonly burst: number[];
};

const rounded = (value: number, digits = 2) => Number(value.toFixed(digits));

function percentiles(samples: readonly number[]): Percentiles {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (share: number) =>
    rounded(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!);
  return { p50: at(0.5), p99: at(0.99) };
}

/**
 * @param scope takes away what is made here, if nobody else has.
 * @param pods how many pods each plugin wires one after another.
 * @param progress told what is being done.
 */
export async function podAdd(
  host: Host,
  scope: AsyncDisposableStack,
  pods: number,
  progress: (line: string) => void,
): Promise<PodAddResult> {
  using _claim = await claimEmptyLab(NAME);
  await using stack = scope.use(new AsyncDisposableStack());
  const scratch = mkdtempSync('/dev/shm/enid-bench-');
  stack.defer(() => rmSync(scratch, { recursive: true, force: true }));
  try {
    // Enough addresses for a round, the one before that still cools down, and the burst; all warm before the start.
    const addresses = 2 * ROUND + BURST;
    const env = { MINIMUM_IP_TARGET: addresses, WARM_IP_TARGET: 1, IP_COOLDOWN_PERIOD: 1 };
    const settings = Object.entries(env).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
    progress('starting a lab with one node');
    await labCommand(host, 'up', '--bare', '--nodes', '1', '--instance-type', 'm5.4xlarge', ...settings);
    const lab = Lab.open(NAME, host);
    const node = lab.nodes[0]!;
    progress(`filling the pool with ${addresses} addresses`);
    await until(
      async () => {
        const status = JSON.parse(await labCommand(host, 'status', '--json')) as LabStatus;
        return status.nodes[0]!.enis.reduce((sum, eni) => sum + eni.addresses.length - 1, 0);
      },
      (found) => found >= addresses,
      'the pool to fill',
      120_000,
    );
    using namespace = node.openNamespace();
    const place = { namespace, scratch };
    const contenders = {
      enid: contender(join(host.cniBin[0]!, 'aws-cni'), { type: 'aws-cni' }, node.cniEnv),
      ptp: contender(join(host.cniBin[1]!, 'ptp'), {
        type: 'ptp',
        mtu: 9001,
        ipam: {
          type: 'host-local',
          ranges: [[{ subnet: '10.200.0.0/16' }]],
          dataDir: join(scratch, 'host-local'),
        },
      }),
    };
    progress(
      `wiring and unwiring ${pods} pods one after another, in rounds of ${ROUND}, each plugin in turn`,
    );
    for (let done = 0; done < pods; done += ROUND) {
      for (const contender of Object.values(contenders)) {
        await round(contender, place, Math.min(ROUND, pods - done));
      }
    }
    progress(`wiring ${BURST} pods at once, ${BURSTS} times`);
    for (let n = 0; n < BURSTS; n++) {
      for (const contender of Object.values(contenders)) await burst(contender, place);
    }
    const figures = ({ add, del, burst }: Contender) => ({
      add_ms: percentiles(add),
      del_ms: percentiles(del),
      burst50_ms: percentiles(burst).p50,
    });
    const enid = figures(contenders.enid);
    const ptp = figures(contenders.ptp);
    return {
      enid,
      ptp,
      ratio: {
        add_p50: rounded(enid.add_ms.p50 / ptp.add_ms.p50, 3),
        del_p50: rounded(enid.del_ms.p50 / ptp.del_ms.p50, 3),
        burst50: rounded(enid.burst50_ms / ptp.burst50_ms, 3),
      },
    };
  } finally {
    // Not by another process: the lab is claimed by this one.
    await Lab.down(NAME);
  }
}

/**
 * Runs a command on the benchmark's lab. What needs the AWS SDK is left to other processes: starting a program
 * takes a process the longer the more memory it has, and would blur what is measured.
 */
async function labCommand(host: Host, command: string, ...args: string[]): Promise<string> {
  const [file, ...words] = host.enid;
  const { stdout } = await promisify(execFile)(file, [...words, 'lab', command, '--name', NAME, ...args]);
  return stdout;
}

function contender(plugin: string, config: object, env: NodeJS.ProcessEnv = {}): Contender {
  return {
    plugin,
    config: JSON.stringify({ cniVersion: '1.0.0', name: 'bench', ...config }),
    env: Object.entries({ PATH: process.env.PATH, CNI_PATH: dirname(plugin), ...env }).map(
      ([k, v]) => `${k}=${v}`,
    ),
    add: [],
    del: [],
    burst: [],
  };
}

/** Has the plugin do one thing for some pods, all at once, on the node. @returns how long it took, in milliseconds. */
function call(
  { plugin, config, env }: Contender,
  command: string,
  { namespace, scratch }: NodeScope,
  pods: readonly Pod[],
): number {
  const runs = pods.map((pod) => {
    const variables = [
      ...env,
      `CNI_COMMAND=${command}`,
      `CNI_CONTAINERID=${pod.containerId}`,
      `CNI_NETNS=/run/netns/${pod.netns}`,
      'CNI_IFNAME=eth0',
      `CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=bench;K8S_POD_NAME=${pod.name}`,
    ];
    return prepare(plugin, variables, config, scratch, pod.name);
  });
  const began = performance.now();
  namespace.run(() => {
    for (const run of runs) run.start();
  });
  for (const run of runs) run.finish();
  return performance.now() - began;
}

async function round(contender: Contender, node: NodeScope, count: number): Promise<void> {
  const pods = sandboxes(count);
  for (const pod of pods) contender.add.push(call(contender, 'ADD', node, [pod]));
  for (const pod of pods) contender.del.push(call(contender, 'DEL', node, [pod]));
  await settle(node, pods);
}

async function burst(contender: Contender, node: NodeScope): Promise<void> {
  const pods = sandboxes(BURST);
  contender.burst.push(call(contender, 'ADD', node, pods));
  for (const pod of pods) call(contender, 'DEL', node, [pod]);
  await settle(node, pods);
}

/** Waits until nothing of a round is left, so that what one plugin does in the background costs the other nothing. */
async function settle({ namespace }: NodeScope, pods: readonly Pod[]): Promise<void> {
  using rtnetlink = Rtnetlink.open(namespace);
  const veths = () =>
    rtnetlink.links().filter((link) => link.kind === 'veth' && !/^eth\d+$/.test(link.name)).length;
  await until(veths, (count) => count === 0, 'the links of deleted pods to go');
  for (const { netns } of pods) NetNamespace.delete(netns);
}

/** Pods' empty network namespaces, as a runtime has them before ADD. */
function sandboxes(count: number): Pod[] {
  return Array.from({ length: count }, (_, n) => {
    const netns = `enid-${NAME}-pod-${n}`;
    NetNamespace.create(netns).close();
    return { name: `pod-${n}`, netns, containerId: `pod-${n}-${process.hrtime.bigint()}` };
  });
}

type Pod = { readonly name: string; readonly netns: string; readonly containerId: string };

type NodeScope = { readonly namespace: NetNamespace; readonly scratch: string };
