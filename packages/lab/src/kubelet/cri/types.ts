/**
 * Messages of the Container Runtime Interface as `@grpc/proto-loader` reads and writes them: fields in camel case,
 * enums by name, integers as numbers. Times are nanoseconds since 1970, 0 when not known.
 */

type Labels = { [key: string]: string };

export type RuntimeCondition = {
  readonly type: string;
  readonly status: boolean;
  readonly reason: string;
  readonly message: string;
};

export type NamespaceMode = 'POD' | 'CONTAINER' | 'NODE' | 'TARGET';
export type NamespaceOption = {
  network: NamespaceMode;
  pid: NamespaceMode;
  ipc: NamespaceMode;
  targetId?: string;
};
export type SecurityProfile = {
  profileType: 'RuntimeDefault' | 'Unconfined' | 'Localhost';
  localhostRef?: string;
};
export type DnsConfig = { servers: string[]; searches: string[]; options: string[] };
export type PortMapping = {
  protocol: 'TCP' | 'UDP' | 'SCTP';
  containerPort: number;
  hostPort: number;
  hostIp: string;
};

export type PodSandboxMetadata = { name: string; uid: string; namespace: string; attempt: number };

export type PodSandboxConfig = {
  metadata: PodSandboxMetadata;
  hostname: string;
  logDirectory: string;
  dnsConfig: DnsConfig;
  portMappings: PortMapping[];
  labels: Labels;
  annotations: Labels;
  linux: {
    cgroupParent: string;
    sysctls: Labels;
    securityContext: {
      namespaceOptions: NamespaceOption;
      runAsUser?: { value: number };
      runAsGroup?: { value: number };
      supplementalGroups: number[];
      privileged: boolean;
      seccomp: SecurityProfile;
    };
  };
};

export type PodSandbox = {
  readonly id: string;
  readonly metadata: PodSandboxMetadata;
  readonly state: 'SANDBOX_READY' | 'SANDBOX_NOTREADY';
  readonly createdAt: number;
  readonly labels: Labels;
  readonly annotations: Labels;
};

export type PodSandboxStatus = PodSandbox & {
  readonly network: {
    readonly ip: string;
    readonly additionalIps: readonly { readonly ip: string }[];
  } | null;
};

export type Mount = {
  containerPath: string;
  hostPath: string;
  readonly: boolean;
  propagation: 'PROPAGATION_PRIVATE' | 'PROPAGATION_HOST_TO_CONTAINER' | 'PROPAGATION_BIDIRECTIONAL';
};

export type LinuxContainerResources = {
  cpuPeriod?: number;
  cpuQuota?: number;
  cpuShares?: number;
  memoryLimitInBytes?: number;
  oomScoreAdj?: number;
};

export type LinuxContainerSecurityContext = {
  capabilities?: { addCapabilities: string[]; dropCapabilities: string[] };
  privileged: boolean;
  namespaceOptions: NamespaceOption;
  runAsUser?: { value: number };
  runAsGroup?: { value: number };
  readonlyRootfs: boolean;
  supplementalGroups: number[];
  noNewPrivs: boolean;
  maskedPaths: string[];
  readonlyPaths: string[];
  seccomp: SecurityProfile;
};

export type ContainerMetadata = { name: string; attempt: number };

export type ContainerConfig = {
  metadata: ContainerMetadata;
  image: { image: string };
  command: string[];
  args: string[];
  workingDir: string;
  envs: { key: string; value: string }[];
  mounts: Mount[];
  labels: Labels;
  annotations: Labels;
  logPath: string;
  stdin: boolean;
  stdinOnce: boolean;
  tty: boolean;
  linux: { resources: LinuxContainerResources; securityContext: LinuxContainerSecurityContext };
};

export type ContainerState =
  | 'CONTAINER_CREATED'
  | 'CONTAINER_RUNNING'
  | 'CONTAINER_EXITED'
  | 'CONTAINER_UNKNOWN';

export type Container = {
  readonly id: string;
  readonly podSandboxId: string;
  readonly metadata: ContainerMetadata;
  readonly state: ContainerState;
  readonly createdAt: number;
  readonly labels: Labels;
  readonly annotations: Labels;
};

export type ContainerStatus = {
  readonly id: string;
  readonly metadata: ContainerMetadata;
  readonly state: ContainerState;
  readonly createdAt: number;
  readonly startedAt: number;
  readonly finishedAt: number;
  readonly exitCode: number;
  readonly image: { readonly image: string } | null;
  readonly imageRef: string;
  readonly reason: string;
  readonly message: string;
  readonly labels: Labels;
  readonly annotations: Labels;
  readonly mounts: readonly Mount[];
  readonly logPath: string;
};

export type Image = {
  readonly id: string;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
  readonly size: number;
  readonly uid: { readonly value: number } | null;
  readonly username: string;
};

export type ExecOptions = { tty: boolean; stdin: boolean; stdout: boolean; stderr: boolean };
