/**
 * What the tables should have, kept up to date: Services and slices in, differences out. Works only on what has
 * changed, by the identity of the objects that it is given. Nothing here touches the kernel.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { NodeFacts } from './endpoints.ts';
import { type EndpointSlice, LAST_CHANGE, nameOf, type Service, serviceOf } from './kubernetes.ts';
import type { Family } from './layout.ts';
import {
  type Frontend,
  type HealthCheck,
  type ModelOptions,
  modelOf,
  type Problem,
  type ServiceModel,
  type ServicePort,
} from './model.ts';
import { entry, type Objects, splitKey } from './objects.ts';
import type { Placement } from './placement.ts';
import { familyName, frontendKey, objectsOf, type PlanOptions, placementOf, slotsKey } from './plan.ts';

export type WantedOptions = ModelOptions & Pick<PlanOptions, 'podLinks'>;

/** All that is known of the cluster. Objects that did not change are expected to be the same objects. */
export type Inputs = {
  readonly services: Iterable<Service>;
  readonly endpointSlices: Iterable<EndpointSlice>;
  readonly node: NodeFacts;
};

/** What an update has brought. */
export type Update = {
  /** Keys of objects that may have changed, by the Service that changed them. */
  readonly touched: ReadonlyMap<string, ReadonlySet<string>>;
  readonly services: number;
  readonly slices: number;
  /** Whether Services that have UDP ports, or had some, are among them. */
  readonly udp: boolean;
  /** When what made the changed slices change happened, in milliseconds since 1970. */
  readonly triggers: readonly number[];
};

type KnownService = { service: Service; slices: readonly EndpointSlice[]; model: ServiceModel };
type ModelChange = { readonly before: ServiceModel | undefined; readonly after: ServiceModel | undefined };
type KnownPort = {
  readonly port: ServicePort;
  readonly created: number;
  frontends: readonly Frontend[];
  placement: Placement<string>;
  objects: Objects;
};

/** Services that are worked on without a pause: some milliseconds. */
const TURN = 100;

const NOTHING: Placement<string> = {
  slots: [],
  local: { from: 0, count: 0 },
  cluster: { from: 0, count: 0 },
};

export class Wanted {
  readonly #options: WantedOptions;
  #node: NodeFacts | undefined;
  /** Where endpoints were expected at the last update. */
  #endpointCidrs = '';
  readonly #services = new Map<string, KnownService>();
  readonly #ports = new Map<string, KnownPort>();
  /** Who wants a frontend: ports, the first of which has it. */
  readonly #claims = new Map<string, string[]>();
  readonly #objects = new Map<string, { value: string; users: number }>();
  /** Slots as a former run left them in the kernel. */
  #adopted = new Map<string, (string | undefined)[]>();

  constructor(options: WantedOptions) {
    this.#options = options;
  }

  /** The value that an object should have; undefined when it should not be there. */
  get(object: string): string | undefined {
    return this.#objects.get(object)?.value;
  }

  /** All objects, by the Services that need them. */
  *byService(): Generator<[service: string, objects: Iterable<string>]> {
    for (const { port, objects } of this.#ports.values()) yield [port.service, objects.keys()];
  }

  /** All ports, each with those of its frontends that no other Service has. */
  *ports(): Generator<ServicePort> {
    for (const { port, frontends } of this.#ports.values()) yield { ...port, frontends };
  }

  /** The endpoints that clients of a port of a Service may be remembered with. */
  stickyEndpointsOf(id: string, family: Family): ReadonlySet<string> {
    const known = this.#ports.get(`${family === 'ip' ? 4 : 6} ${id}`);
    return new Set(known?.port.affinity === undefined ? [] : known.placement.slots);
  }

  get healthChecks(): HealthCheck[] {
    return [...this.#services.values()].flatMap(({ model }) => model.healthCheck ?? []);
  }

  /** Everything that is wrong at the moment. */
  get problems(): Problem[] {
    const problems = [...this.#services.values()].flatMap(({ model }) => model.problems);
    for (const [claim, [owner, ...others]] of this.#claims) {
      for (const other of others) {
        const { port } = this.#ports.get(other)!;
        const has = this.#ports.get(owner!)!.port;
        if (port.service === has.service) continue;
        const [, key] = claim.split(/ (.*)/);
        problems.push({
          service: port.service,
          reason: 'OverlappingPort',
          message: `${key} belongs to ${has.service}, which is older: change one of the two Services`,
        });
      }
    }
    return problems;
  }

  /** Takes up the slots that are in the kernel, so that what is there can stay. Before the first update. */
  adopt(objects: ReadonlyMap<string, string>): void {
    for (const [object, endpoint] of objects) {
      const { family, set, key } = splitKey(object);
      if (!set.startsWith('endpoints-')) continue;
      const at = key.lastIndexOf(' . ');
      const list = `${family} ${set} ${key.slice(0, at)}`;
      entry(this.#adopted, list, () => [])[Number(key.slice(at + 3))] = endpoint;
    }
  }

  /**
   * Takes up what has changed. Lets others have their turn while it does. One call at a time.
   */
  async update({ services, endpointSlices, node }: Inputs): Promise<Update> {
    const endpointCidrs = this.#options.endpointCidrs.join();
    const everything =
      this.#node?.name !== node.name ||
      this.#node.zone !== node.zone ||
      this.#endpointCidrs !== endpointCidrs;
    this.#node = node;
    this.#endpointCidrs = endpointCidrs;
    const slicesOf = Map.groupBy(endpointSlices, (slice) => serviceOf(slice) ?? '');
    const seen = new Set<string>();
    const changed: ModelChange[] = [];
    const triggers: number[] = [];
    let changedSlices = 0;
    for (const service of services) {
      const name = nameOf(service);
      seen.add(name);
      const slices = slicesOf.get(name) ?? [];
      const known = this.#services.get(name);
      if (!everything && known?.service === service && same(known.slices, slices)) continue;
      if (changed.length % TURN === TURN - 1) await nextTurn();
      const model = modelOf(service, slices, node, this.#options);
      const news = slices.filter((slice) => !known?.slices.includes(slice));
      changedSlices += news.length;
      triggers.push(...triggersOf(news, known?.slices ?? []));
      this.#services.set(name, { service, slices, model });
      changed.push({ before: known?.model, after: model });
    }
    for (const [name, { model }] of this.#services) {
      if (seen.has(name)) continue;
      this.#services.delete(name);
      changed.push({ before: model, after: undefined });
    }
    const touched = await this.#replan(changed);
    this.#adopted.clear();
    const udp = changed.some(({ before, after }) =>
      [before, after].some((model) => model?.ports.some(({ protocol }) => protocol === 'udp')),
    );
    return { touched, services: changed.length, slices: changedSlices, udp, triggers };
  }

  async #replan(changed: readonly ModelChange[]): Promise<Map<string, Set<string>>> {
    const affected = new Set<string>();
    const former = new Map<string, KnownPort>();
    for (const { before } of changed) {
      for (const key of before?.ports.map(portKey) ?? []) {
        const known = this.#ports.get(key);
        if (!known) continue;
        former.set(key, known);
        this.#ports.delete(key);
        for (const claim of claimsOf(known.port))
          for (const other of this.#disclaim(claim, key)) affected.add(other);
      }
    }
    for (const { after } of changed) {
      for (const port of after?.ports ?? []) {
        const key = portKey(port);
        if (this.#ports.has(key)) continue; // Two ports of one name, which the API server does not let pass.
        const { frontends, placement, objects } = former.get(key) ?? {
          frontends: [],
          placement: NOTHING,
          objects: new Map<string, string>(),
        };
        former.delete(key);
        this.#ports.set(key, { port, created: after!.created, frontends, placement, objects });
        affected.add(key);
        for (const claim of claimsOf(port)) for (const other of this.#claim(claim, key)) affected.add(other);
      }
    }
    const touched = new Map<string, Set<string>>();
    const replace = (service: string, from: Objects, to: Objects) => {
      const objects = entry(touched, service, () => new Set());
      this.#replace(from, to, objects);
    };
    for (const { port, objects } of former.values()) replace(port.service, objects, new Map());
    let done = 0;
    for (const key of affected) {
      const known = this.#ports.get(key);
      if (!known) continue;
      if (++done % TURN === 0) await nextTurn();
      const from = known.objects;
      this.#plan(key, known);
      replace(known.port.service, from, known.objects);
    }
    return touched;
  }

  #plan(key: string, known: KnownPort): void {
    const { port } = known;
    const previous = known.objects.size > 0 ? known.placement.slots : this.#adoptedSlots(port);
    known.placement = placementOf(port, previous);
    known.frontends = port.frontends.filter(
      (frontend) => this.#claims.get(`${port.family} ${frontendKey(port, frontend)}`)?.[0] === key,
    );
    known.objects = objectsOf(port, known.frontends, known.placement, {
      nodeName: this.#node!.name,
      podLinks: this.#options.podLinks,
    });
  }

  #adoptedSlots(port: ServicePort): readonly (string | undefined)[] {
    const set = `${familyName(port.family)} endpoints-${port.protocol}`;
    for (const frontend of this.#adopted.size > 0 ? port.frontends : []) {
      const slots = this.#adopted.get(`${set} ${slotsKey(port, frontend)}`);
      if (slots) return slots;
    }
    return [];
  }

  /** @returns the others that want it too. */
  #claim(claim: string, key: string): string[] {
    const claimants = this.#claims.get(claim);
    if (!claimants) {
      this.#claims.set(claim, [key]);
      return [];
    }
    if (!claimants.includes(key)) claimants.push(key);
    const age = (claimant: string) => this.#ports.get(claimant)?.created ?? 0;
    claimants.sort((a, b) => age(a) - age(b) || (a < b ? -1 : 1));
    return claimants;
  }

  #disclaim(claim: string, key: string): string[] {
    const claimants = (this.#claims.get(claim) ?? []).filter((claimant) => claimant !== key);
    if (claimants.length > 0) this.#claims.set(claim, claimants);
    else this.#claims.delete(claim);
    return claimants;
  }

  /** Objects are shared, chains by many: one is there as long as anybody uses it. */
  #replace(from: Objects, to: Objects, touched: Set<string>): void {
    for (const [object, value] of to) {
      const old = from.get(object);
      if (old === value) continue;
      touched.add(object);
      const shared = this.#objects.get(object);
      if (!shared) this.#objects.set(object, { value, users: 1 });
      else {
        shared.value = value;
        if (old === undefined) shared.users++;
      }
    }
    for (const object of from.keys()) {
      if (to.has(object)) continue;
      touched.add(object);
      const shared = this.#objects.get(object)!;
      shared.users--;
      if (shared.users === 0) this.#objects.delete(object);
    }
  }
}

function portKey({ family, id }: ServicePort): string {
  return `${family} ${id}`;
}

function claimsOf(port: ServicePort): string[] {
  return port.frontends.map((frontend) => `${port.family} ${frontendKey(port, frontend)}`);
}

function same<T>(a: readonly T[], b: readonly T[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index]);
}

function triggersOf(slices: readonly EndpointSlice[], before: readonly EndpointSlice[]): number[] {
  const time = ({ metadata }: EndpointSlice) => metadata?.annotations?.[LAST_CHANGE];
  const known = new Set(before.map(time));
  return slices
    .map(time)
    .filter((text) => text !== undefined && !known.has(text))
    .map((text) => Date.parse(text!))
    .filter(Number.isFinite);
}
