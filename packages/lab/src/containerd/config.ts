/** How a node's containerd is configured. */
export type ContainerdOptions = {
  /** Folder of what outlives a restart: images, containers, snapshots. On a file system that overlayfs can write to. */
  readonly root: string;
  /** Folder of what does not outlive the machine's boot. */
  readonly state: string;
  /** Path of the socket that CRI is served on. */
  readonly socket: string;
  /** The image that a pod's sandbox runs. */
  readonly sandboxImage: string;
  /** Folder of CNI executables. */
  readonly cniBin?: string;
  /** Folder of CNI network configurations. */
  readonly cniConf?: string;
  readonly streamServerAddress?: string;
  readonly streamServerPort?: string;
  /** The cgroup that containerd itself goes to; the one that it is started in when absent. */
  readonly cgroup?: string;
  /** Whether pods' cgroups are systemd's to make. */
  readonly systemdCgroup?: boolean;
  /** Whether pods' network namespaces are kept below `state` instead of in /run/netns. */
  readonly ownNetworkNamespaces?: boolean;
  /** Whether pods have no cgroups, for machines where none can be made. */
  readonly disableCgroup?: boolean;
};

/** Plugins for what a node of the lab does not do. Each of them costs memory, and some a warning at each start. */
const UNUSED = [
  'io.containerd.internal.v1.opt',
  'io.containerd.internal.v1.restart',
  'io.containerd.internal.v1.tracing',
  'io.containerd.snapshotter.v1.aufs',
  'io.containerd.snapshotter.v1.btrfs',
  'io.containerd.snapshotter.v1.devmapper',
  'io.containerd.snapshotter.v1.native',
  'io.containerd.snapshotter.v1.zfs',
  'io.containerd.tracing.processor.v1.otlp',
];

/** What plugins serve CRI alone. */
const FOR_CRI = ['io.containerd.grpc.v1.cri'];

/** A value as TOML writes it; JSON's strings are TOML's. */
const toml = (value: string | number | boolean | readonly string[]) => JSON.stringify(value);

function section(name: string, values: Readonly<Record<string, string | number | boolean>>): string {
  const lines = Object.entries(values).map(([key, value]) => `${key} = ${toml(value)}`);
  return [`[${name}]`, ...lines].join('\n');
}

const header = (options: Pick<ContainerdOptions, 'root' | 'state'>, disabled: readonly string[]) =>
  [
    'version = 2',
    `root = ${toml(options.root)}`,
    `state = ${toml(options.state)}`,
    `disabled_plugins = ${toml(disabled)}`,
  ].join('\n');

/** The text of config.toml for a node's containerd (1.6). No registry is named: images are there, or are not. */
export function containerdConfig(options: ContainerdOptions): string {
  const cri = 'plugins."io.containerd.grpc.v1.cri"';
  return `${[
    header(options, UNUSED),
    section('grpc', { address: options.socket }),
    ...(options.cgroup === undefined ? [] : [section('cgroup', { path: options.cgroup })]),
    section(cri, {
      sandbox_image: options.sandboxImage,
      stream_server_address: options.streamServerAddress ?? '127.0.0.1',
      stream_server_port: options.streamServerPort ?? '0',
      disable_apparmor: true,
      // A node of the lab may itself be in a container, which may not lower it.
      restrict_oom_score_adj: true,
      max_container_log_line_size: 16_384,
      tolerate_missing_hugetlb_controller: true,
      disable_hugetlb_controller: true,
      disable_cgroup: options.disableCgroup ?? false,
      netns_mounts_under_state_dir: options.ownNetworkNamespaces ?? false,
    }),
    section(`${cri}.containerd`, { snapshotter: 'overlayfs', default_runtime_name: 'runc' }),
    section(`${cri}.containerd.runtimes.runc`, { runtime_type: 'io.containerd.runc.v2' }),
    section(`${cri}.containerd.runtimes.runc.options`, { SystemdCgroup: options.systemdCgroup ?? false }),
    section(`${cri}.cni`, {
      bin_dir: options.cniBin ?? '/opt/cni/bin',
      conf_dir: options.cniConf ?? '/etc/cni/net.d',
      max_conf_num: 1,
    }),
  ].join('\n\n')}\n`;
}

/** The text of config.toml for a containerd that imports images and nothing else. */
export function importerConfig(options: Pick<ContainerdOptions, 'root' | 'state' | 'socket'>): string {
  return `${[header(options, [...UNUSED, ...FOR_CRI]), section('grpc', { address: options.socket })].join('\n\n')}\n`;
}
