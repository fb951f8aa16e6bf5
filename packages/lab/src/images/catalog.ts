import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { arch, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { FileTree } from './file-tree.ts';
import {
  buildBpfObject,
  buildCniExecutable,
  bundleCommandLine,
  bundleProgram,
  CHECKOUT,
  compileStatic,
  filesBelow,
  listApplets,
} from './programs.ts';

/** A layer of an image: Debian packages, and what is added to them. */
export type Layer = {
  readonly name: string;
  /** The layer beneath. What it has of a package's dependencies is not repeated. */
  readonly on?: Layer;
  /** Debian packages; all that they depend on comes along. */
  readonly packages?: readonly string[];
  /** Files and folders, relative to the checkout, that it is made from. */
  readonly sources?: readonly string[];
  /** Changes what the packages brought. */
  readonly compose?: (tree: FileTree) => Promise<void> | void;
};

/** What runs in a container of an image, unless its pod says otherwise. */
export type ImageConfig = {
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Env?: readonly string[];
  readonly WorkingDir?: string;
  readonly ExposedPorts?: Readonly<Record<string, object>>;
  readonly User?: string;
  readonly StopSignal?: string;
};

export type Image = {
  /** Names by which pods ask for it. */
  readonly names: readonly string[];
  /** Its topmost layer. */
  readonly layer: Layer;
  readonly config: ImageConfig;
};

const NODE = join(CHECKOUT, `node_modules/node-linux-${arch()}/bin/node`);
const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

function addEach(tree: FileTree, links: Readonly<Record<string, string>>): void {
  for (const [path, target] of Object.entries(links)) tree.link(path, target);
}

const debian: Layer = {
  name: 'debian',
  packages: [
    'base-files',
    'base-passwd',
    'bash',
    'coreutils',
    'curl',
    'dash',
    'findutils',
    'grep',
    'hostname',
    'iproute2',
    'libstdc++6',
    'mawk',
    'netbase',
    'nftables',
    'procps',
    'sed',
  ],
  compose(tree) {
    addEach(tree, { bin: 'usr/bin', sbin: 'usr/sbin', lib: 'usr/lib', lib64: 'usr/lib64' });
    addEach(tree, {
      'usr/bin/sh': 'dash',
      'usr/bin/awk': 'mawk',
      'var/run': '/run',
      'var/lock': '/run/lock',
    });
    // As the scripts of these packages would make them.
    tree.alias('etc/passwd', 'usr/share/base-passwd/passwd.master');
    tree.alias('etc/group', 'usr/share/base-passwd/group.master');
    tree.file(
      'etc/nsswitch.conf',
      'passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n',
    );
    for (const folder of ['dev', 'proc', 'sys', 'run', 'mnt', 'opt', 'srv']) tree.directory(folder);
    tree.directory('tmp', 0o1777);
    tree.directory('var/tmp', 0o1777);
  },
};

const node: Layer = {
  name: 'node',
  on: debian,
  sources: [NODE],
  compose: (tree) => tree.copy('usr/local/bin/node', NODE, 0o755),
};

const enid: Layer = {
  name: 'enid',
  on: node,
  packages: ['conntrack'],
  sources: [
    ...['agent', 'aws', 'cli', 'controller', 'ebpf', 'ip', 'ipam', 'kube', 'linux', 'pki'].map(
      (name) => `packages/${name}`,
    ),
    ...['bpf/kernel.h', 'bpf/policy.h', 'bpf/policy.bpf.c', 'scripts/build-bpf'],
    ...['cni/aws-cni.c', 'scripts/build-cni', 'package-lock.json'],
  ],
  async compose(tree) {
    // At the depth that the sources have in a checkout: they look for files by paths relative to themselves.
    for (const [name, content] of await bundleCommandLine())
      tree.file(`opt/enid/packages/cli/dist/${name}`, content);
    for (const path of await filesBelow(join(CHECKOUT, 'packages/agent/src'))) {
      if (path.endsWith('.proto'))
        tree.copy(`opt/enid/packages/cli/dist/${basename(path)}`, join(CHECKOUT, 'packages/agent/src', path));
    }
    tree.file('opt/enid/package.json', '{ "type": "module" }\n');
    for (const name of ['koffi', `@koromix/koffi-linux-${arch()}`]) {
      const from = join(CHECKOUT, 'node_modules', name);
      for (const path of await filesBelow(from)) {
        if (/\.(c?js|json|node)$/.test(path) && !path.startsWith('musl'))
          tree.copy(`opt/enid/node_modules/${name}/${path}`, join(from, path));
      }
    }
    tree.file('opt/enid/aws-cni', await buildCniExecutable(), 0o755);
    tree.link('opt/enid/cni/build/aws-cni', '/opt/enid/aws-cni');
    tree.file('opt/enid/bpf/build/policy.o', await buildBpfObject());
    tree.file(
      'usr/local/bin/enid',
      "#!/usr/local/bin/node\nimport('/opt/enid/packages/cli/dist/main.js');\n",
      0o755,
    );
  },
};

const coredns: Layer = {
  name: 'coredns',
  on: node,
  sources: ['packages/lab/src/dns', 'package-lock.json'],
  async compose(tree) {
    // Its garbage is short-lived and it has one thing to do: little memory is enough.
    const firstLine =
      '#!/usr/bin/env -S /usr/local/bin/node --max-semi-space-size=1 --max-old-space-size=48 --optimize-for-size --v8-pool-size=1';
    tree.file('coredns', await bundleProgram('packages/lab/src/dns/main.ts', firstLine), 0o755);
  },
};

const nginx: Layer = {
  name: 'nginx',
  on: debian,
  packages: ['nginx-light'],
  sources: ['packages/lab/src/images/programs/nginx.conf'],
  compose(tree) {
    tree.copy('etc/nginx/nginx.conf', join(CHECKOUT, 'packages/lab/src/images/programs/nginx.conf'));
    tree.file(
      'etc/nginx/conf.d/default.conf',
      'server {\n  listen 80;\n  server_name localhost;\n  location / {\n    root /usr/share/nginx/html;\n    index index.html;\n  }\n}\n',
    );
    addEach(tree, { 'var/log/nginx/access.log': '/dev/stdout', 'var/log/nginx/error.log': '/dev/stderr' });
  },
};

const netshoot: Layer = {
  name: 'netshoot',
  on: debian,
  packages: [
    ...['bind9-dnsutils', 'conntrack', 'ethtool', 'iperf3', 'iptables', 'iputils-ping', 'jq', 'less'],
    ...['netcat-openbsd', 'socat', 'strace', 'tar', 'tcpdump', 'traceroute', 'vim-tiny'],
  ],
  // What update-alternatives would choose.
  compose: (tree) =>
    addEach(tree, {
      'usr/bin/nc': 'nc.openbsd',
      'usr/bin/traceroute': 'traceroute.db',
      'usr/bin/vi': 'vim.tiny',
      'usr/bin/vim': 'vim.tiny',
      'usr/sbin/iptables': 'iptables-nft',
      'usr/sbin/iptables-save': 'iptables-nft-save',
      'usr/sbin/iptables-restore': 'iptables-nft-restore',
    }),
};

const busybox: Layer = {
  name: 'busybox',
  packages: ['busybox-static'],
  async compose(tree) {
    const executable = tree.read('usr/bin/busybox');
    addEach(tree, { bin: 'usr/bin', sbin: 'usr/bin', 'usr/sbin': 'bin' });
    for (const applet of await appletsOf(executable))
      if (applet !== 'busybox') tree.link(`usr/bin/${applet}`, 'busybox');
    tree.file('etc/passwd', 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n');
    tree.file('etc/group', 'root:x:0:\nnogroup:x:65534:\n');
    tree.directory('root', 0o700);
    for (const folder of ['dev', 'proc', 'sys', 'run', 'home', 'var/www']) tree.directory(folder);
    tree.directory('tmp', 0o1777);
  },
};

async function appletsOf(executable: Buffer): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'enid-busybox-'));
  try {
    const file = join(folder, 'busybox');
    await writeFile(file, executable, { mode: 0o755 });
    return await listApplets(file);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const AGNHOST_SOURCES = [
  ...[
    'connect',
    'dial',
    'flags',
    'http',
    'main',
    'net',
    'netexec',
    'proxy',
    'serve-hostname',
    'text',
    'wait',
  ],
].map((name) => `agnhost/${name}.c`);

const agnhost: Layer = {
  name: 'agnhost',
  on: busybox,
  sources: ['packages/lab/src/images/programs/agnhost'],
  compose: async (tree) => tree.file('agnhost', await compileStatic(AGNHOST_SOURCES), 0o755),
};

const pause: Layer = {
  name: 'pause',
  sources: ['packages/lab/src/images/programs/pause.c', 'packages/lab/src/images/programs/agnhost'],
  compose: async (tree) => tree.file('pause', await compileStatic(['pause.c', 'agnhost/wait.c']), 0o755),
};

/** The image that a pod's sandbox runs. */
export const SANDBOX_IMAGE = 'registry.k8s.io/pause:3.9';

/** Every image of the lab. */
export const catalog: readonly Image[] = [
  { names: [SANDBOX_IMAGE], layer: pause, config: { Entrypoint: ['/pause'], Env: [PATH] } },
  { names: ['busybox', 'busybox:1.36'], layer: busybox, config: { Cmd: ['sh'], Env: [PATH] } },
  {
    names: ['2.47', '2.53'].map((tag) => `registry.k8s.io/e2e-test-images/agnhost:${tag}`),
    layer: agnhost,
    config: { Entrypoint: ['/agnhost'], Cmd: ['pause'], Env: [PATH] },
  },
  {
    names: ['nginx', 'nginx:alpine', 'nginx:1.27'],
    layer: nginx,
    config: {
      Cmd: ['nginx', '-g', 'daemon off;'],
      Env: [PATH],
      ExposedPorts: { '80/tcp': {} },
      StopSignal: 'SIGQUIT',
    },
  },
  {
    names: ['nicolaka/netshoot'],
    layer: netshoot,
    config: { Cmd: ['bash'], Env: [PATH], WorkingDir: '/root' },
  },
  {
    names: ['registry.k8s.io/coredns/coredns:v1.11.4'],
    layer: coredns,
    config: {
      Entrypoint: ['/coredns'],
      Env: [PATH, 'MALLOC_ARENA_MAX=1', 'UV_THREADPOOL_SIZE=1'],
      ExposedPorts: { '53/udp': {}, '53/tcp': {} },
    },
  },
  {
    names: ['public.ecr.aws/enid/enid'],
    layer: enid,
    config: { Entrypoint: ['enid'], Env: [PATH] },
  },
];
