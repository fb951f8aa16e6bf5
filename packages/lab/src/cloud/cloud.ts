import { mkdirSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Ipv4 } from '@enid/ip';
import type { FastifyInstance } from 'fastify';
import { type Logger, pino } from 'pino';
import { AwsApi } from './api.ts';
import { type Clock, systemClock } from './clock.ts';
import { newContext } from './context.ts';
import { type Credentials, Keyring, type RoleCredentials } from './credentials.ts';
import { type HealthReport, takeHealth } from './elbv2/health.ts';
import { resolveLoadBalancer } from './elbv2/names.ts';
import type { LoadBalancerPlane, NetworkFabric } from './fabric.ts';
import { Faults } from './faults.ts';
import { awsApp, metadataListener } from './http.ts';
import { Imds } from './imds.ts';
import { NodeEndpoints } from './node-endpoints.ts';
import { StateFile } from './persistence.ts';
import { DEFAULT_QUOTAS, type Quotas } from './quotas.ts';
import { holdInterface } from './service-interfaces.ts';
import { DEFAULT_SETTINGS, type Settings } from './settings.ts';
import { type CloudState, emptyState } from './state.ts';
import { Store } from './store.ts';
import { Throttle } from './throttle.ts';
import { Transitions } from './transitions.ts';

export type CloudOptions = {
  /** The network beneath the account. */
  readonly fabric: NetworkFabric;
  /** What serves as the account's load balancers; without it they are active, and serve nobody. */
  readonly loadBalancers?: LoadBalancerPlane;
  /** Keys that sign as the account itself. */
  readonly credentials: Credentials;
  /** Directory of the account's file, made when it is not there. */
  readonly stateDir: string;
  /** `us-east-1` unless given. */
  readonly region?: string;
  /** Availability zones; a, b and c of the region unless given. */
  readonly zones?: readonly string[];
  /** 12 digits. */
  readonly accountId?: string;
  /** Determines the ids, MAC addresses and secrets that are made. */
  readonly seed?: string;
  /** TCP port on 127.0.0.1; one that is free unless given. */
  readonly port?: number;
  /** What differs from {@link DEFAULT_SETTINGS}. */
  readonly settings?: Partial<Settings>;
  /** What differs from {@link DEFAULT_QUOTAS}. */
  readonly quotas?: Partial<Quotas>;
  readonly clock?: Clock;
  readonly log?: Logger;
};

/** The parts of the account that the network beneath it is made of, and those that its load balancers are beside it. */
const NETWORK = [
  'vpcs',
  'subnets',
  'routeTables',
  'internetGateways',
  'natGateways',
  'securityGroups',
  'instances',
  'networkInterfaces',
  'loadBalancers',
] as const;
const LOAD_BALANCING = ['listeners', 'rules', 'targetGroups', 'certificates'] as const;

/**
 * The AWS of a lab: the EC2 API on loopback and inside every VPC, and the metadata service of every instance. The
 * account is on disk after each change, so that a new process goes on where a killed one stopped.
 */
export class Cloud {
  readonly faults: Faults;
  /** The metadata service, whoever carries its requests. */
  readonly metadata: Imds;
  readonly #fabric: NetworkFabric;
  readonly #port: number;
  readonly #keyring: Keyring;
  readonly #store: Store;
  readonly #api: AwsApi;
  readonly #context: { readonly quotas: Quotas; readonly clock: Clock; readonly seed: string };
  readonly #transitions: Transitions;
  readonly #endpoints: NodeEndpoints;
  readonly #loadBalancers: LoadBalancerPlane | undefined;
  /** What all beneath the account matches; undefined before it does, and when that is not sure. */
  #inForce: CloudState | undefined;
  #settings: Settings;
  #host: FastifyInstance | undefined;
  #node: FastifyInstance | undefined;

  /** @throws when the account's file cannot be read, or is another release's. */
  constructor(options: CloudOptions) {
    const { region = 'us-east-1', seed = 'enid', clock = systemClock, fabric } = options;
    const log = options.log ?? pino({ enabled: false });
    const { zones = ['a', 'b', 'c'].map((letter) => region + letter), accountId = '123456789012' } = options;
    this.#fabric = fabric;
    this.#loadBalancers = options.loadBalancers;
    this.#port = options.port ?? 0;
    this.#settings = { ...DEFAULT_SETTINGS, ...options.settings };
    this.faults = new Faults(seed);

    mkdirSync(options.stateDir, { recursive: true });
    const file = new StateFile(join(options.stateDir, 'cloud.json'));
    this.#store = new Store(
      // What an earlier release did not know of, there is none of.
      { ...emptyState({ region, zones, accountId }), ...file.read() },
      clock,
      async (state) => {
        await this.#follow(state);
        file.write(state);
      },
      (state) => {
        const { metadataLagMs, describeLagMs } = this.#settings;
        this.#store.forget(Math.max(metadataLagMs, describeLagMs));
        this.#transitions.observe(state);
      },
    );
    const settings = () => this.#settings;
    const keyring = new Keyring(options.credentials, seed, clock);
    this.#keyring = keyring;
    this.#transitions = new Transitions(clock, settings, (step) =>
      this.#store.transact(step).catch((error) => {
        log.error({ err: error }, 'a change that was due was refused, and will be tried again');
        throw error;
      }),
    );
    this.#context = { quotas: { ...DEFAULT_QUOTAS, ...options.quotas }, clock, seed };
    this.#api = new AwsApi({
      ...this.#context,
      store: this.#store,
      keyring,
      throttle: new Throttle(clock),
      faults: this.faults,
      settings,
      log,
    });
    this.metadata = new Imds({ store: this.#store, keyring, settings, clock, secret: seed });
    this.#endpoints = new NodeEndpoints(fabric, {
      ec2: () => (request, response) => this.#node!.routing(request, response),
      metadata: (vpcId) => metadataListener(this.metadata, vpcId),
    });
  }

  /** The account as it is. */
  get state(): CloudState {
    return this.#store.state;
  }

  /**
   * The addresses of a load balancer's name, as the internet's DNS gives them: undefined for a name that is none.
   * @param name lower-case.
   */
  resolve(name: string): readonly Ipv4[] | undefined {
    return resolveLoadBalancer(this.state, name);
  }

  get settings(): Settings {
    return this.#settings;
  }

  /** Changes settings; delays that have begun stay as they were. */
  configure(settings: Partial<Settings>): void {
    this.#settings = { ...this.#settings, ...settings };
  }

  /** Resolves when the changes begun so far hold, or were refused. */
  async settled(): Promise<void> {
    await this.#store.settled();
  }

  /** Takes note of what the health checks of load balancers have found; of a target that is gone, nothing. */
  async reportHealth(reports: readonly HealthReport[]): Promise<void> {
    if (reports.length > 0) await this.#store.transact((draft) => takeHealth(draft, reports));
  }

  /** Temporary keys of an instance's role, as its metadata service hands them out. */
  credentialsOf(instanceId: string): RoleCredentials {
    return this.#keyring.forInstance(instanceId);
  }

  /** EC2's endpoint for the host, once started: `http://127.0.0.1:<port>`. */
  get endpoint(): string {
    const { port } = this.#host!.server.address() as AddressInfo;
    return `http://127.0.0.1:${port}`;
  }

  /**
   * Puts the account's network in force and begins to answer.
   * @throws what the kernel refuses, or EADDRINUSE for a port that is taken.
   */
  async start(): Promise<void> {
    this.#node = await awsApp(this.#api);
    this.#host = await awsApp(this.#api, {
      faults: this.faults,
      settings: () => this.#settings,
      configure: (settings) => this.configure(settings),
      state: () => this.state,
      holdInterface: (request) =>
        this.#store.transact((draft) =>
          holdInterface(newContext(draft, { kind: 'account' }, this.#context), request),
        ),
    });
    await this.#follow(this.state);
    await this.#host.listen({ host: '127.0.0.1', port: this.#port });
    this.#transitions.observe(this.state);
  }

  /** Makes what is beneath the account match a state: only what a change of it can concern. */
  async #follow(state: CloudState): Promise<void> {
    const before = this.#inForce;
    const concerned = (parts: readonly (keyof CloudState)[]) =>
      parts.some((part) => state[part] !== before?.[part]);
    this.#inForce = undefined;
    if (concerned(NETWORK)) {
      await this.#fabric.sync(state);
      await this.#endpoints.sync(state);
    }
    if (concerned([...NETWORK, ...LOAD_BALANCING])) await this.#loadBalancers?.sync(state);
    this.#inForce = state;
  }

  /** Stops answering, when what has begun is over. The network stays in force. */
  async stop(): Promise<void> {
    this.#transitions.stop();
    this.#endpoints.close();
    await this.#host?.close();
    await this.#node?.close();
    await this.#store.settled();
  }
}
