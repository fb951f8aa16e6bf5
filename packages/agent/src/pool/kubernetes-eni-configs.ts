import { Informer, type KubeClient, type KubeObject, type Node } from '@enid/kube';
import type { Clock } from '../clock.ts';
import {
  type EniConfig,
  EniConfigError,
  type EniConfigKeys,
  type EniConfigSource,
  eniConfigName,
} from './eni-config.ts';

const PATH = '/apis/crd.k8s.amazonaws.com/v1alpha1/eniconfigs';
/** How long the first list of the API server is waited for. */
const SYNC_WAIT = 5_000;

/** The custom resource: see `deploy/crds/eniconfigs.yaml`. */
type EniConfigObject = KubeObject & {
  readonly spec?: { readonly subnet?: string; readonly securityGroups?: readonly string[] };
};

export type KubernetesEniConfigsOptions = {
  readonly client: KubeClient;
  /** This node, followed. */
  readonly node: {
    readonly name: string;
    readonly node: Node | undefined;
    readonly synced: Promise<void>;
    onChange(handler: () => void): () => void;
  };
  readonly keys: EniConfigKeys;
  readonly clock: Clock;
};

/** The ENIConfig that the node's annotation or label names, from the Kubernetes API. */
export class KubernetesEniConfigs implements EniConfigSource, AsyncDisposable {
  readonly #options: KubernetesEniConfigsOptions;
  readonly #configs: Informer<EniConfigObject>;
  #error: Error | undefined;

  /** Begins to follow ENIConfigs at once. */
  constructor(options: KubernetesEniConfigsOptions) {
    this.#options = options;
    this.#configs = new Informer<EniConfigObject>({
      client: options.client,
      path: PATH,
      onError: (error) => {
        this.#error = error;
      },
    });
  }

  async configFor(): Promise<EniConfig> {
    const { node, keys } = this.#options;
    await this.#synced();
    const { metadata } = node.node ?? {};
    if (!metadata)
      throw new EniConfigError(`${this.#reason}, and the node ${node.name} was not read: ${WAY_IN}`);
    if (!this.#configs.hasSynced)
      throw new EniConfigError(`${this.#reason}, and ENIConfigs were not read: ${WAY_IN}`);
    const { name, by } = eniConfigName(metadata, keys);
    const which = `the ENIConfig "${name}" (the node ${node.name} has ${by})`;
    const found = this.#configs.get(name);
    if (!found) {
      throw new EniConfigError(
        `custom networking is on, but ${which} does not exist: create it, or let the node name one that does (kubectl get eniconfigs)`,
      );
    }
    const { subnet, securityGroups = [] } = found.spec ?? {};
    if (!subnet) throw new EniConfigError(`${which} names no subnet: set spec.subnet`);
    return { name, subnetId: subnet, securityGroups };
  }

  onChange(handler: () => void): () => void {
    const ends = [this.#configs.onChange(() => handler()), this.#options.node.onChange(handler)];
    return () => {
      for (const end of ends) end();
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#configs.stop();
  }

  get #reason(): string {
    return `custom networking is on${this.#error ? ` (${this.#error.message})` : ''}`;
  }

  async #synced(): Promise<void> {
    const { node, clock } = this.#options;
    const timer = new AbortController();
    const timeout = clock.sleep(SYNC_WAIT, timer.signal);
    await Promise.race([Promise.all([node.synced, this.#configs.synced]), timeout]).catch(() => {});
    timer.abort('over');
    timeout.catch(() => {});
  }
}

const WAY_IN =
  'apply deploy/crds/eniconfigs.yaml, let the service account aws-node list nodes and eniconfigs, and see that the API server can be reached';
