/**
 * Times the CNI executable against Debian's `ptp` with `host-local`, in one run on one node of a lab, so that the
 * machine's noise is in both.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { type Attachment, CniRuntime, type Host, Lab, type LabNode, until } from '@enid/lab';
import type { LabStatus } from '@enid/lab/status';
import { NetNamespace, Rtnetlink } from '@enid/linux';

const NAME = 'bench';
const BURST = 50;
const ROUND = 25;

/** Milliseconds. */
type Percentiles = { p50: number; p99: number };

export type PodAddResult = {
  enid: { add_ms: Percentiles; del_ms: Percentiles; burst50_ms: number };
  ptp: { add_ms: Percentiles; del_ms: Percentiles; burst50_ms: number };
  /** Enid's time as a fraction of ptp's. */
  ratio: { add_p50: number; del_p50: number; burst50: number };
};

type Contender = {
  readonly runtime: CniRuntime;
  readonly add: number[];
  readonly del: number[];
  burst: number;
};

const rounded = (value: number, digits = 2) => Number(value.toFixed(digits));

function percentiles(samples: readonly number[]): Percentiles {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (share: number) =>
    rounded(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!);
  return { p50: at(0.5), p99: at(0.99) };
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/**
 * @param pods how many pods each plugin wires one after another.
 * @param progress told what is being done.
 */
export async function podAdd(
  host: Host,
  pods: number,
  progress: (line: string) => void,
): Promise<PodAddResult> {
  const scratch = mkdtempSync(join(tmpdir(), 'enid-bench-'));
  try {
    await labCommand(host, 'down'); // What a killed run left.
    // Addresses enough for all pods and the burst, all of them warm before the clock starts.
    const addresses = pods + BURST;
    const env = { MINIMUM_IP_TARGET: addresses, WARM_IP_TARGET: 1, IP_COOLDOWN_PERIOD: 1 };
    const settings = Object.entries(env).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
    progress('starting a lab with one node');
    await labCommand(host, 'up', '--nodes', '1', '--instance-type', 'm5.16xlarge', ...settings);
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
    const contenders = {
      enid: { runtime: node.cniRuntime(), add: [], del: [], burst: 0 } as Contender,
      ptp: { runtime: ptpRuntime(node, host, scratch), add: [], del: [], burst: 0 } as Contender,
    };
    progress(
      `wiring and unwiring ${pods} pods one after another, in rounds of ${ROUND}, each plugin in turn`,
    );
    for (let done = 0; done < pods; done += ROUND) {
      for (const contender of Object.values(contenders)) {
        await round(lab, node, contender, Math.min(ROUND, pods - done));
      }
    }
    progress(`wiring ${BURST} pods at once`);
    for (const contender of Object.values(contenders)) await burst(lab, node, contender);
    const figures = ({ add, del, burst }: Contender) => ({
      add_ms: percentiles(add),
      del_ms: percentiles(del),
      burst50_ms: rounded(burst),
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
    await labCommand(host, 'down');
    rmSync(scratch, { recursive: true, force: true });
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

async function round(
  lab: Lab,
  node: LabNode,
  { runtime, add, del }: Contender,
  count: number,
): Promise<void> {
  const pods = sandboxes(lab, count);
  for (const pod of pods) add.push(await timed(() => runtime.add(pod)));
  for (const pod of pods) del.push(await timed(() => runtime.del(pod)));
  await settle(node, pods);
}

async function burst(lab: Lab, node: LabNode, contender: Contender): Promise<void> {
  const pods = sandboxes(lab, BURST);
  contender.burst = await timed(() => Promise.all(pods.map((pod) => contender.runtime.add(pod))));
  for (const pod of pods) await contender.runtime.del(pod);
  await settle(node, pods);
}

/** Waits until nothing of a round is left, so that what one plugin does in the background costs the other nothing. */
async function settle(node: LabNode, pods: readonly Attachment[]): Promise<void> {
  using namespace = node.openNamespace();
  using rtnetlink = Rtnetlink.open(namespace);
  const veths = () =>
    rtnetlink.links().filter((link) => link.kind === 'veth' && !/^eth\d+$/.test(link.name)).length;
  await until(veths, (count) => count === 0, 'the links of deleted pods to go');
  for (const pod of pods) NetNamespace.delete(basename(pod.netns));
}

/** Pods' empty network namespaces, as a runtime has them before ADD. */
function sandboxes(lab: Lab, count: number): Attachment[] {
  return Array.from({ length: count }, (_, n) => {
    const netns = `${lab.directory.prefix}-pod-${n}`;
    NetNamespace.create(netns).close();
    return {
      containerId: `pod-${n}-${process.hrtime.bigint()}`,
      netns: `/run/netns/${netns}`,
      ifName: 'eth0',
      args: { IgnoreUnknown: '1', K8S_POD_NAMESPACE: 'bench', K8S_POD_NAME: `pod-${n}` },
    };
  });
}

/** Debian's reference plugins, on the same node. */
function ptpRuntime(node: LabNode, host: Host, scratch: string): CniRuntime {
  const network = {
    cniVersion: '1.0.0',
    name: 'bench-ptp',
    plugins: [
      {
        type: 'ptp',
        mtu: 9001,
        ipam: {
          type: 'host-local',
          ranges: [[{ subnet: '10.200.0.0/16' }]],
          dataDir: join(scratch, 'host-local'),
        },
      },
    ],
  };
  writeFileSync(join(scratch, '10-ptp.conflist'), JSON.stringify(network));
  return new CniRuntime({
    binPath: host.cniBin.slice(1),
    confDir: scratch,
    env: { PATH: process.env.PATH },
    namespace: node.record.namespace,
  });
}
