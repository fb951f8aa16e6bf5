/** What an informer of Kubernetes' JavaScript client tells, and whether that is what has happened. */
import type { KubeConfig, V1ConfigMap } from '@kubernetes/client-node';
import { CoreV1Api, makeInformer } from '@kubernetes/client-node';

export type Verb = 'add' | 'update' | 'delete';

/** One change of one object. */
export type Change = {
  /** The object's new version; undefined: it was deleted, at a version that the answer does not say. */
  readonly version: number | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** Length of its JSON. */
  readonly size: number;
};

/** By the object's name, in their order. */
export type Changes = ReadonlyMap<string, readonly Change[]>;

type Told = { readonly verb: Verb; readonly name: string; readonly version: number };
type Listed = { readonly revision: number; readonly versions: ReadonlyMap<string, number> };

export type Follower = {
  readonly informer: ReturnType<typeof makeInformer<V1ConfigMap>>;
  /** What it was told, and the lists that it made meanwhile, in their order. */
  readonly log: readonly (Told | Listed)[];
  /** How many changes it was told. */
  heard(): number;
  /** How often it has listed. */
  listed(): number;
  /** How often it was begun anew after an error. */
  restarted(): number;
  stop(): Promise<void>;
};

/** Follows config maps of a namespace by a stock informer, which is begun anew when it reports an error, as its users do. */
export function follow(kubeConfig: KubeConfig, path: string, labelSelector?: string): Follower {
  const client = kubeConfig.makeApiClient(CoreV1Api);
  const log: (Told | Listed)[] = [];
  const count = { heard: 0, listed: 0, restarted: 0 };
  const namespace = /namespaces\/([^/]+)/.exec(path)![1]!;
  const list = async () => {
    const page = await client.listNamespacedConfigMap({ namespace, ...(labelSelector && { labelSelector }) });
    count.listed += 1;
    const versions = new Map(page.items.map((item) => [item.metadata!.name!, versionOf(item)]));
    log.push({ revision: Number(page.metadata!.resourceVersion), versions });
    return page;
  };
  const informer = makeInformer(kubeConfig, path, list, labelSelector);
  for (const verb of ['add', 'update', 'delete'] as const) {
    informer.on(verb, (object) => {
      count.heard += 1;
      log.push({ verb, name: object.metadata!.name!, version: versionOf(object) });
    });
  }
  let stopped = false;
  informer.on('error', () => {
    count.restarted += 1;
    if (!stopped) setTimeout(() => informer.start(), 20);
  });
  return {
    informer,
    log,
    heard: () => count.heard,
    listed: () => count.listed,
    restarted: () => count.restarted,
    stop: () => {
      stopped = true;
      return informer.stop();
    },
  };
}

function versionOf({ metadata }: V1ConfigMap): number {
  return Number(metadata!.resourceVersion);
}

type Expected = { readonly verb: Verb; readonly version: number | undefined };

/**
 * Compares what an informer has told with what has happened. It is to tell each change of an object that it selects once,
 * in order, by its version.
 *
 * Where the server has forgotten what the informer was still to hear, it answers 410 Gone, and the informer lists. What has
 * happened since what it heard last, up to that list, it tells then as one change of each object that is not as it was. That
 * may only be when more has happened since than the server keeps.
 * @param selects which objects the informer wants, by their labels.
 * @param kept what the server keeps at least: so many changes, or so many bytes of them.
 * @returns what was missed, doubled, wrong or forgotten too early, in words.
 */
export function compare(
  { log }: Pick<Follower, 'log'>,
  changes: Changes,
  selects: (labels: Change['labels']) => boolean,
  kept: { readonly events: number; readonly bytes: number },
): string[] {
  const wrong: string[] = [];
  const objects = new Map([...changes].map(([name, all]) => [name, new Account(seenOf(all, selects))]));
  const sizes = [...changes.values()].flat().filter(({ version }) => version !== undefined);
  let upTo: number | undefined;
  for (const entry of log) {
    if ('verb' in entry) {
      const { name, verb, version } = entry;
      const why = objects.get(name)?.tell(verb, version) ?? (objects.has(name) ? undefined : 'is nobody’s');
      if (why) wrong.push(`${name}: ${verb} ${version} ${why}`);
      upTo = Math.max(upTo ?? 0, version);
      continue;
    }
    const { revision, versions } = entry;
    if (upTo !== undefined) {
      const from = upTo;
      const between = sizes.filter(({ version }) => version! > from && version! <= revision);
      const bytes = between.reduce((sum, { size }) => sum + size, 0);
      if (revision - from <= kept.events && bytes <= kept.bytes) {
        wrong.push(`${revision - from} changes of ${bytes} bytes after ${from} were forgotten already`);
      }
    }
    for (const [name, object] of objects) {
      const why = object.list(revision, versions.get(name));
      if (why) wrong.push(`${name}: the list of ${revision} ${why}`);
    }
    upTo = revision;
  }
  for (const [name, object] of objects) {
    const why = object.end();
    if (why) wrong.push(`${name}: ${why}`);
  }
  return wrong;
}

/** What one object was told to be, against what it was. */
class Account {
  readonly #expected: readonly Expected[];
  #next = 0;
  #version: number | undefined;
  /** What a list has still to tell. */
  #owed: Expected | undefined;

  constructor(expected: readonly Expected[]) {
    this.#expected = expected;
  }

  /** @returns what is wrong with it. */
  tell(verb: Verb, version: number): string | undefined {
    const expected = this.#owed ?? this.#expected[this.#next];
    if (!this.#owed) this.#next += 1;
    this.#owed = undefined;
    this.#version = verb === 'delete' ? undefined : version;
    const isRight = expected?.verb === verb && (expected.version ?? version) === version;
    return isRight ? undefined : `instead of ${describe(expected)}`;
  }

  list(revision: number, version: number | undefined): string | undefined {
    const left = this.#owed;
    let last: Expected | undefined;
    for (; this.#hasHappened(revision, version); this.#next += 1) last = this.#expected[this.#next];
    const is = last ? (last.verb === 'delete' ? undefined : last.version) : this.#version;
    this.#owed = changeOf(this.#version, version);
    if (is !== version) return `has it at ${version}, not at ${is}`;
    return left && `came before ${describe(left)} was told`;
  }

  end(): string | undefined {
    const missed = [...(this.#owed ? [this.#owed] : []), ...this.#expected.slice(this.#next)];
    return missed.length > 0 ? `missed ${missed.map(describe).join(', ')}` : undefined;
  }

  /** Whether the next change is part of a list. Of a deletion it is known by what comes next, or that the object is not there. */
  #hasHappened(revision: number, version: number | undefined): boolean {
    const [next, later] = this.#expected.slice(this.#next, this.#next + 2);
    if (!next) return false;
    if (next.version !== undefined) return next.version <= revision;
    return version === undefined || (later?.version !== undefined && later.version <= revision);
  }
}

function describe(expected: Expected | undefined): string {
  return expected ? `${expected.verb} ${expected.version ?? ''}`.trim() : 'nothing';
}

function changeOf(was: number | undefined, is: number | undefined): Expected | undefined {
  if (was === is) return undefined;
  // Informers tell such a deletion with the object that they knew.
  if (is === undefined) return { verb: 'delete', version: was };
  return { verb: was === undefined ? 'add' : 'update', version: is };
}

/** The changes of an object as one hears of them who hears only of what is selected. */
function seenOf(changes: readonly Change[], selects: (labels: Change['labels']) => boolean): Expected[] {
  const seen: Expected[] = [];
  let wasThere = false;
  for (const { version, labels } of changes) {
    const isThere = version !== undefined && selects(labels);
    if (isThere) seen.push({ verb: wasThere ? 'update' : 'add', version });
    else if (wasThere) seen.push({ verb: 'delete', version });
    wasThere = isThere;
  }
  return seen;
}
