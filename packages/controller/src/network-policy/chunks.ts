import type { Content, Endpoint, EndpointPort, PodEndpoint } from './objects.ts';

/** How many endpoints of a list one object holds, and how many ports and exceptions they have together. */
export const MOST_ENDPOINTS = 200;
const MOST_DETAILS = 4_000;

const LISTS = ['podSelectorEndpoints', 'ingress', 'egress'] as const;
type List = (typeof LISTS)[number];
type Item = Endpoint | PodEndpoint;

export type ChunkPlan<C> = {
  readonly create: readonly Content[];
  readonly update: readonly { readonly chunk: C; readonly content: Content }[];
  readonly remove: readonly C[];
};

type Draft<C> = {
  readonly chunk: C | undefined;
  readonly lists: Record<List, Item[]>;
  readonly details: Record<List, number>;
  isChanged: boolean;
};

/**
 * How objects come to hold a policy's content, with as few writes as may be: what is right stays where it is, new endpoints
 * fill the objects that change anyway, then those that have room. There is always at least one, as a policy isolates pods
 * with nothing allowed too.
 */
export function planChunks<C>(
  content: Content,
  chunks: readonly C[],
  contentOf: (chunk: C) => Partial<Content>,
): ChunkPlan<C> {
  const wanted = Object.fromEntries(
    LISTS.map((list) => {
      const items = content[list] as readonly Item[];
      const ids = idsOf(items);
      return [list, new Map(items.map((item, i) => [ids[i]!, item]))];
    }),
  ) as Record<List, Map<string, Item>>;
  const needed = Math.max(1, ...LISTS.map((list) => neededFor([...wanted[list].values()])));
  let drafts = chunks.map((chunk) => keep(chunk, contentOf(chunk), wanted));
  // Deletions leave holes. Half empty objects are worth the writes that join them.
  const remove: C[] = [];
  if (drafts.length > 2 * needed + 1) {
    drafts.sort((a, b) => sizeOf(b) - sizeOf(a));
    for (const draft of drafts.slice(needed)) {
      for (const list of LISTS) {
        const ids = idsOf(draft.lists[list]);
        for (const [i, item] of draft.lists[list].entries()) wanted[list].set(ids[i]!, item);
      }
      remove.push(draft.chunk!);
    }
    drafts = drafts.slice(0, needed);
  }
  for (const list of LISTS) {
    const places = [
      ...drafts.filter((draft) => draft.isChanged),
      ...drafts.filter((draft) => !draft.isChanged),
    ];
    let place = 0;
    for (const item of wanted[list].values()) {
      while (place < places.length && !hasRoom(places[place]!, list, item)) place++;
      let draft = places[place];
      if (!draft) {
        draft = empty<C>(undefined);
        places.push(draft);
        drafts.push(draft);
      }
      draft.lists[list].push(item);
      draft.details[list] += detailsOf(item);
      draft.isChanged = true;
    }
  }
  if (drafts.length === 0) drafts.push(empty<C>(undefined));
  const left = drafts.filter((draft) => sizeOf(draft) > 0);
  const kept = left.length > 0 ? left : drafts.slice(0, 1);
  for (const draft of drafts) if (draft.chunk && !kept.includes(draft)) remove.push(draft.chunk);
  return {
    create: kept.filter(({ chunk }) => chunk === undefined).map(({ lists }) => lists as unknown as Content),
    update: kept
      .filter(({ chunk, isChanged }) => chunk !== undefined && isChanged)
      .map(({ chunk, lists }) => ({ chunk: chunk!, content: lists as unknown as Content })),
    remove,
  };
}

function empty<C>(chunk: C | undefined): Draft<C> {
  return {
    chunk,
    lists: { podSelectorEndpoints: [], ingress: [], egress: [] },
    details: { podSelectorEndpoints: 0, ingress: 0, egress: 0 },
    isChanged: chunk === undefined,
  };
}

/** What of an object stays: it is taken from what is wanted. */
function keep<C>(chunk: C, held: Partial<Content>, wanted: Record<List, Map<string, Item>>): Draft<C> {
  const draft = empty<C>(chunk);
  for (const list of LISTS) {
    const items = (held[list] ?? []) as readonly Item[];
    const ids = idsOf(items);
    for (const [i, item] of items.entries()) {
      if (!wanted[list].delete(ids[i]!)) continue;
      draft.lists[list].push(item);
      draft.details[list] += detailsOf(item);
    }
    if (draft.lists[list].length !== items.length) draft.isChanged = true;
  }
  return draft;
}

const sizeOf = ({ lists }: Draft<unknown>) => LISTS.reduce((sum, list) => sum + lists[list].length, 0);

const detailsOf = (item: Item) =>
  'rule' in item ? (item.ports?.length ?? 0) + (item.except?.length ?? 0) : (item.namedPorts?.length ?? 0);

/** One endpoint fits into an empty object, however much there is to it. */
const hasRoom = ({ lists, details }: Draft<unknown>, list: List, item: Item) =>
  lists[list].length === 0 ||
  (lists[list].length < MOST_ENDPOINTS && details[list] + detailsOf(item) <= MOST_DETAILS);

const neededFor = (items: readonly Item[]) =>
  Math.max(
    Math.ceil(items.length / MOST_ENDPOINTS),
    Math.ceil(items.reduce((sum, item) => sum + detailsOf(item), 0) / MOST_DETAILS),
  );

/** By list, as those of the server do not change. A list has few, an item by itself would be one of very many. */
const known = new WeakMap<readonly Item[], readonly string[]>();

/** What each item of a list says, as text: equal for what is equal. */
function idsOf(items: readonly Item[]): readonly string[] {
  let ids = known.get(items);
  if (!ids) {
    // Most endpoints of a rule share their ports.
    let last: readonly EndpointPort[] | undefined;
    let text = '';
    ids = items.map((item) => {
      const ports = 'rule' in item ? item.ports : item.namedPorts;
      if (ports !== last) text = idOfPorts(ports);
      last = ports;
      return 'rule' in item
        ? `${item.rule} ${item.action} ${item.cidr} ${item.domainName} ${item.except?.join()} ${text}`
        : `${item.namespace}/${item.name} ${item.podIP} ${item.hostIP} ${text}`;
    });
    known.set(items, ids);
  }
  return ids;
}

const idOfPorts = (ports: readonly EndpointPort[] = []) =>
  ports.map((p) => `${p.protocol}:${p.port}-${p.endPort ?? p.port}:${p.name ?? ''}`).join();
