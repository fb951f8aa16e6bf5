import { fileURLToPath } from 'node:url';
import { type Client, credentials, loadPackageDefinition, type ServiceError, status } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type * as cri from './types.ts';

export const LOADING = { longs: Number, enums: String, defaults: true, oneofs: true } as const;

/** Longer than the CNI may take: containerd gives a plugin no limit, and cleans up only what it ended itself. */
const SANDBOX_TIMEOUT = 4 * 60_000;
const TIMEOUT = 2 * 60_000;

type Call = (
  request: object,
  options: { deadline: number },
  done: (error: ServiceError | null, answer: unknown) => void,
) => { cancel(): void };
type Service = Client & { readonly [method: string]: Call };
type ServiceConstructor = new (
  address: string,
  creds: ReturnType<typeof credentials.createInsecure>,
) => Service;

/** An error of the runtime, with its words alone: they are shown in events and container states. */
export class RuntimeError extends Error {
  readonly code: number;

  constructor(method: string, error: ServiceError) {
    super(error.details || error.message, { cause: error });
    this.name = `RuntimeError(${method})`;
    this.code = error.code;
  }

  get notFound(): boolean {
    return this.code === status.NOT_FOUND;
  }
}

/** The Container Runtime Interface (runtime.v1) of a runtime behind a unix socket. Throws {@link RuntimeError}. */
export class CriClient {
  readonly #runtime: Service;
  readonly #images: Service;

  constructor(socket: string) {
    const file = fileURLToPath(new URL('./runtime.proto', import.meta.url));
    const { v1 } = loadPackageDefinition(loadSync(file, LOADING)).runtime as unknown as {
      v1: { RuntimeService: ServiceConstructor; ImageService: ServiceConstructor };
    };
    this.#runtime = new v1.RuntimeService(`unix:${socket}`, credentials.createInsecure());
    this.#images = new v1.ImageService(`unix:${socket}`, credentials.createInsecure());
  }

  close(): void {
    this.#runtime.close();
    this.#images.close();
  }

  /** Resolves when the runtime answers. @throws when it does not within `timeout` milliseconds. */
  ready(timeout: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#runtime.waitForReady(Date.now() + timeout, (error) => (error ? reject(error) : resolve()));
    });
  }

  version(): Promise<{ runtimeName: string; runtimeVersion: string }> {
    return this.#call(this.#runtime, 'version', {});
  }

  async conditions(): Promise<readonly cri.RuntimeCondition[]> {
    const answer = await this.#call<{ status: { conditions: cri.RuntimeCondition[] } | null }>(
      this.#runtime,
      'status',
      {},
      5_000,
    );
    return answer.status?.conditions ?? [];
  }

  async runPodSandbox(config: cri.PodSandboxConfig): Promise<string> {
    const answer = await this.#call<{ podSandboxId: string }>(
      this.#runtime,
      'runPodSandbox',
      { config },
      SANDBOX_TIMEOUT,
    );
    return answer.podSandboxId;
  }

  async stopPodSandbox(podSandboxId: string): Promise<void> {
    await this.#call(this.#runtime, 'stopPodSandbox', { podSandboxId }, SANDBOX_TIMEOUT);
  }

  async removePodSandbox(podSandboxId: string): Promise<void> {
    await this.#call(this.#runtime, 'removePodSandbox', { podSandboxId });
  }

  async podSandboxStatus(podSandboxId: string): Promise<cri.PodSandboxStatus> {
    const answer = await this.#call<{ status: cri.PodSandboxStatus }>(this.#runtime, 'podSandboxStatus', {
      podSandboxId,
    });
    return answer.status;
  }

  /** @param labelSelector labels that the sandboxes have; all of them when empty. */
  async listPodSandbox(labelSelector: Record<string, string> = {}): Promise<readonly cri.PodSandbox[]> {
    const answer = await this.#call<{ items: cri.PodSandbox[] }>(this.#runtime, 'listPodSandbox', {
      filter: { labelSelector },
    });
    return answer.items;
  }

  async createContainer(
    podSandboxId: string,
    config: cri.ContainerConfig,
    sandboxConfig: cri.PodSandboxConfig,
  ): Promise<string> {
    const answer = await this.#call<{ containerId: string }>(this.#runtime, 'createContainer', {
      podSandboxId,
      config,
      sandboxConfig,
    });
    return answer.containerId;
  }

  async startContainer(containerId: string): Promise<void> {
    await this.#call(this.#runtime, 'startContainer', { containerId });
  }

  /**
   * Ends a container: SIGTERM, and SIGKILL after `timeout` seconds.
   * @param signal gives the waiting up, so that it can be asked for again with less patience.
   */
  async stopContainer(containerId: string, timeout: number, signal?: AbortSignal): Promise<void> {
    const patience = timeout * 1000 + TIMEOUT;
    await this.#call(this.#runtime, 'stopContainer', { containerId, timeout }, patience, signal);
  }

  async removeContainer(containerId: string): Promise<void> {
    await this.#call(this.#runtime, 'removeContainer', { containerId });
  }

  async containerStatus(containerId: string): Promise<cri.ContainerStatus> {
    const answer = await this.#call<{ status: cri.ContainerStatus }>(this.#runtime, 'containerStatus', {
      containerId,
    });
    return answer.status;
  }

  /** @param labelSelector labels that the containers have; all of them when empty. */
  async listContainers(labelSelector: Record<string, string> = {}): Promise<readonly cri.Container[]> {
    const answer = await this.#call<{ containers: cri.Container[] }>(this.#runtime, 'listContainers', {
      filter: { labelSelector },
    });
    return answer.containers;
  }

  /** @param timeout in seconds, after which the command is killed. */
  execSync(
    containerId: string,
    cmd: readonly string[],
    timeout: number,
    signal?: AbortSignal,
  ): Promise<{ stdout: Buffer; stderr: Buffer; exitCode: number }> {
    const patience = timeout * 1000 + TIMEOUT;
    return this.#call(this.#runtime, 'execSync', { containerId, cmd, timeout }, patience, signal);
  }

  /** @returns where the runtime's streaming server takes the connection. */
  async exec(containerId: string, cmd: readonly string[], options: cri.ExecOptions): Promise<string> {
    const answer = await this.#call<{ url: string }>(this.#runtime, 'exec', { containerId, cmd, ...options });
    return answer.url;
  }

  async attach(containerId: string, options: cri.ExecOptions): Promise<string> {
    const answer = await this.#call<{ url: string }>(this.#runtime, 'attach', { containerId, ...options });
    return answer.url;
  }

  async portForward(podSandboxId: string, port: readonly number[]): Promise<string> {
    const answer = await this.#call<{ url: string }>(this.#runtime, 'portForward', { podSandboxId, port });
    return answer.url;
  }

  async listImages(): Promise<readonly cri.Image[]> {
    return (await this.#call<{ images: cri.Image[] }>(this.#images, 'listImages', {})).images;
  }

  async imageStatus(image: string): Promise<cri.Image | undefined> {
    const answer = await this.#call<{ image: cri.Image | null }>(this.#images, 'imageStatus', {
      image: { image },
    });
    return answer.image ?? undefined;
  }

  async pullImage(image: string): Promise<string> {
    const answer = await this.#call<{ imageRef: string }>(
      this.#images,
      'pullImage',
      { image: { image } },
      SANDBOX_TIMEOUT,
    );
    return answer.imageRef;
  }

  #call<Answer>(
    service: Service,
    method: string,
    request: object,
    timeout = TIMEOUT,
    signal?: AbortSignal,
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const call = service[method]!(request, { deadline: Date.now() + timeout }, (error, answer) => {
        signal?.removeEventListener('abort', cancel);
        if (error) reject(new RuntimeError(method, error));
        else resolve(answer as Answer);
      });
      const cancel = () => call.cancel();
      signal?.addEventListener('abort', cancel, { once: true });
    });
  }
}
