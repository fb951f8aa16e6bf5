/** A containerd of a test's own, in a network of its own, with images made here. Needs root. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  closeSync,
  createWriteStream,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { eventually } from '@enid/kube/testing';
import koffi from 'koffi';
import { pack } from 'tar-stream';
import { CriClient } from './cri/client.ts';

const run = promisify(execFile);
const CLONE_NEWNET = 0x40000000;
const BUSYBOX = '/bin/busybox';
const APPLETS = [
  'cat',
  'env',
  'false',
  'hostname',
  'httpd',
  'id',
  'ls',
  'mount',
  'nc',
  'sh',
  'sleep',
  'test',
  'touch',
  'true',
];

export const IMAGE = 'lab.test/busybox:1';
const PAUSE = 'lab.test/pause:1';

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

/** Takes this process to a network namespace of its own, for good. */
export async function leaveNetwork(): Promise<void> {
  const unshare = koffi.load('libc.so.6').func('int unshare(int flags)');
  if (unshare(CLONE_NEWNET) !== 0) throw new Error('no network namespace could be made: are you root?');
  await run('ip', ['link', 'set', 'lo', 'up']);
}

export async function startContainerd(): Promise<TestContainerd> {
  const directory = mkdtempSync(join(tmpdir(), 'enid-containerd-'));
  await run('mount', ['--bind', directory, directory]);
  await run('mount', ['--make-shared', directory]);
  const socket = join(directory, 'containerd.sock');
  const networks = join(directory, 'net.d');
  mkdirSync(networks);
  const config = join(directory, 'config.toml');
  writeFileSync(config, configuration(directory, socket, networks));
  const log = openSync(join(directory, 'containerd.log'), 'a');
  // Its mounts are its own, while it sees those that the kubelet makes in its directory.
  const child = spawn('unshare', ['--mount', '--propagation', 'slave', 'containerd', '--config', config], {
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  const cri = new CriClient(socket);
  await cri.ready(20_000);
  const archive = join(directory, 'images.tar');
  await writeImages(archive);
  await run('ctr', ['--address', socket, '--namespace', 'k8s.io', 'images', 'import', archive]);
  await eventually(async () => {
    for (const image of [IMAGE, PAUSE]) if (!(await cri.imageStatus(image))) throw new Error(`no ${image}`);
  });
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
      await removeCgroups(cgroupParent);
      await run('umount', ['--recursive', directory]);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function configuration(directory: string, socket: string, networks: string): string {
  return `version = 2
root = "${directory}/root"
state = "${directory}/state"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "${socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${PAUSE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${networks}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
`;
}

/** An archive of both images (OCI image layout), which share their one layer. */
async function writeImages(path: string): Promise<void> {
  const layer = await layerOf();
  const blobs = new Map<string, Buffer>();
  const add = (blob: Buffer, mediaType: string) => {
    const digest = createHash('sha256').update(blob).digest('hex');
    blobs.set(`blobs/sha256/${digest}`, blob);
    return { mediaType, digest: `sha256:${digest}`, size: blob.length };
  };
  const oci = 'application/vnd.oci.image';
  const layerBlob = add(layer, `${oci}.layer.v1.tar`);
  const image = (name: string, config: object) => {
    const description = {
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      os: 'linux',
      config: { Env: ['PATH=/bin'], ...config },
      rootfs: { type: 'layers', diff_ids: [layerBlob.digest] },
    };
    const configBlob = add(Buffer.from(JSON.stringify(description)), `${oci}.config.v1+json`);
    const manifest = {
      schemaVersion: 2,
      mediaType: `${oci}.manifest.v1+json`,
      config: configBlob,
      layers: [layerBlob],
    };
    const blob = add(Buffer.from(JSON.stringify(manifest)), `${oci}.manifest.v1+json`);
    return { ...blob, annotations: { 'io.containerd.image.name': name } };
  };
  const manifests = [
    image(IMAGE, { Cmd: ['/bin/sh'] }),
    image(PAUSE, { Entrypoint: ['/bin/sh', '-c', 'trap exit TERM; while :; do sleep 1000 & wait; done'] }),
  ];
  const archive = pack();
  archive.entry({ name: 'oci-layout' }, '{"imageLayoutVersion":"1.0.0"}');
  archive.entry({ name: 'index.json' }, JSON.stringify({ schemaVersion: 2, manifests }));
  for (const [name, blob] of blobs) archive.entry({ name }, blob);
  archive.finalize();
  await pipeline(archive, createWriteStream(path));
}

async function layerOf(): Promise<Buffer> {
  const layer = pack();
  for (const name of ['bin/', 'tmp/', 'etc/', 'dev/', 'proc/', 'sys/'])
    layer.entry({ name, type: 'directory', mode: name === 'tmp/' ? 0o1777 : 0o755 });
  layer.entry({ name: 'bin/busybox', mode: 0o755 }, readFileSync(BUSYBOX));
  for (const applet of APPLETS) layer.entry({ name: `bin/${applet}`, type: 'symlink', linkname: 'busybox' });
  layer.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of layer) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}

/** Cgroups of containers end with them; the one above is the test's. */
async function removeCgroups(parent: string): Promise<void> {
  const { stdout } = await run('find', ['/sys/fs/cgroup', '-depth', '-type', 'd', '-path', `*${parent}*`]);
  for (const path of stdout.split('\n').filter(Boolean)) await run('rmdir', [path]);
}
