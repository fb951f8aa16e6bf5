/** A containerd of a test's own, in a network of its own, with the lab's images. Needs root. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { removeCgroup } from '@enid/linux';
import koffi from 'koffi';
import { createMountNamespace, removeNamespaces } from '../base/mount-namespace.ts';
import {
  containerdCommand,
  containerdConfig,
  prepareContainerdRoot,
  removeContainerdRoot,
} from '../containerd/index.ts';
import { ensureImages, type PreparedImages, SANDBOX_IMAGE } from '../images/index.ts';
import { CriClient } from './cri/client.ts';

const run = promisify(execFile);
const CLONE_NEWNET = 0x40000000;
const IMAGES = '/var/cache/enid';

export const IMAGE = 'docker.io/library/busybox:latest';

export type TestContainerd = {
  /** Mounts below it are seen by the containers. */
  readonly directory: string;
  readonly socket: string;
  readonly cgroupParent: string;
  readonly cri: CriClient;
  /** Gives pods a network: until then the runtime has none. */
  addNetwork(): void;
  stop(): Promise<void>;
};

/** Takes this process to a network namespace of its own, for good. @returns images, which it can only make before. */
export async function leaveNetwork(): Promise<PreparedImages> {
  const prepared = await ensureImages({ cache: IMAGES });
  const unshare = koffi.load('libc.so.6').func('int unshare(int flags)');
  if (unshare(CLONE_NEWNET) !== 0) throw new Error('no network namespace could be made: are you root?');
  await run('ip', ['link', 'set', 'lo', 'up']);
  return prepared;
}

export async function startContainerd(prepared: PreparedImages): Promise<TestContainerd> {
  const directory = mkdtempSync(join(tmpdir(), 'enid-containerd-'));
  await run('mount', ['--bind', directory, directory]);
  await run('mount', ['--make-shared', directory]);
  // Files that keep a mount namespace can be mounted on nothing that is shared.
  const kept = mkdtempSync(`/dev/shm/${process.env.ENID_TEST_RUN ?? 'enid'}-containerd-`);
  await run('mount', ['-t', 'tmpfs', 'none', kept]);
  await run('mount', ['--make-private', kept]);
  const mounts = join(kept, 'mounts');
  await createMountNamespace(mounts);
  const socket = join(directory, 'containerd.sock');
  const networks = join(directory, 'net.d');
  mkdirSync(networks);
  const config = join(directory, 'config.toml');
  const root = join(directory, 'root');
  await prepareContainerdRoot({ prepared, root });
  const options = {
    ...{ root, state: join(directory, 'state'), socket, sandboxImage: SANDBOX_IMAGE },
    ...{ cniBin: '/usr/lib/cni', cniConf: networks, ownNetworkNamespaces: true },
  };
  writeFileSync(config, containerdConfig(options));
  const log = openSync(join(directory, 'containerd.log'), 'a');
  // Its mounts are its own, while it sees those that the kubelet makes in its directory.
  const { command, env } = containerdCommand(config);
  const child = spawn('nsenter', [`--mount=${mounts}`, '--', ...command], {
    stdio: ['ignore', log, log],
    env: { ...process.env, ...env },
  });
  closeSync(log);
  const cri = new CriClient(socket);
  await cri.ready(20_000);
  const cgroupParent = `/enid-test-${process.pid}`;
  return {
    directory,
    socket,
    cgroupParent,
    cri,
    addNetwork() {
      const text = JSON.stringify({
        cniVersion: '0.4.0',
        name: 'test',
        plugins: [
          {
            type: 'ptp',
            ipam: {
              type: 'host-local',
              dataDir: join(directory, 'ipam'),
              ranges: [[{ subnet: '10.244.7.0/24' }]],
              routes: [{ dst: '0.0.0.0/0' }],
            },
          },
        ],
      });
      writeFileSync(join(networks, '10-test.conflist'), text);
    },
    async stop() {
      for (const { id } of await cri.listPodSandbox()) {
        await cri.stopPodSandbox(id);
        await cri.removePodSandbox(id);
      }
      cri.close();
      await end(child);
      removeCgroup(cgroupParent);
      await removeNamespaces([mounts]);
      await run('umount', ['--recursive', directory]);
      await run('umount', [kept]);
      rmSync(kept, { recursive: true });
      await removeContainerdRoot(root);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}
