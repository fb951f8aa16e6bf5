/**
 * What an operator does by hand: addresses are put aside, taken from pods that are gone, and given back to EC2. Served on a unix socket of mode
 * 0600, so for root alone, and never on a port.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { contains, covers, type Ipv4Cidr, networkOf, overlaps, parseIpv4, parseIpv4Cidr } from '@enid/ip';
import {
  addressesIn,
  addressesOf,
  coolingUntil,
  isCordonedSlot,
  isPutAside,
  type Slot,
  slotBlock,
  slotKey,
} from '@enid/ipam';
import { z } from 'zod';
import type { AddressMap } from './address-map.ts';
import type { Clock } from './clock.ts';
import type { CniPlugin } from './cni/plugin.ts';
import { withoutSandbox } from './cni/sandboxes/kernel.ts';
import { HttpService } from './http.ts';
import type { Logger } from './log.ts';
import { PolicyQuestion } from './policy/explain.ts';
import type { PolicyControl } from './policy/index.ts';
import type { WarmPool } from './pool/warm-pool.ts';
import type { Assignment } from './seams.ts';
import { listenOn, removeSocket } from './unix-socket.ts';

/** Something that is not done; the message says why, and the way out. */
class Refusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export type ControlOptions = {
  readonly pool: Pick<WarmPool, 'view' | 'assignments' | 'cordon' | 'uncordon' | 'giveBack'>;
  readonly map: () => Promise<AddressMap>;
  /** Where network policies are enforced. */
  readonly policies?: PolicyControl | undefined;
  readonly log: Logger;
};

export type ControlSeams = ControlOptions & {
  readonly plugin: Pick<CniPlugin, 'forget' | 'isBusy'>;
  readonly clock: Clock;
  /** The ids of the runtime's sandboxes; undefined when there is no runtime to ask. */
  readonly runtime: () => Promise<ReadonlySet<string> | undefined>;
  /** Of these, the assignments whose sandbox the kernel does not have. */
  readonly kernel?: (assignments: readonly Assignment[]) => Assignment[];
};

/** @throws when another agent answers on the socket. */
export async function serveControl(path: string, seams: ControlSeams): Promise<AsyncDisposable> {
  const server = createServer(async (request, response) => {
    const end = (status: number, body: object) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
    try {
      if (request.url?.startsWith('/v1/policy/trace')) await trace(request, response, seams);
      else end(200, await answer(request, seams));
    } catch (error) {
      const { message } = error as Error;
      end(error instanceof Refusal ? error.status : 500, { error: message });
    }
  });
  await listenOn(server, path, 'ENID_CONTROL_SOCKET');
  const service = new HttpService(server);
  return {
    async [Symbol.asyncDispose]() {
      await removeSocket(path);
      await service[Symbol.asyncDispose]();
    },
  };
}

async function answer(request: IncomingMessage, seams: ControlSeams): Promise<object> {
  const what = `${request.method} ${request.url}`;
  if (what === 'GET /v1/ips') return seams.map();
  const body = await text(request);
  switch (what) {
    case 'POST /v1/cordon':
      return cordon(read(Block, body).block, seams);
    case 'POST /v1/uncordon':
      return uncordon(read(Block, body).block, seams);
    case 'POST /v1/release':
      return release(read(Release, body), seams);
    case 'POST /v1/policy/explain':
      return explain(read(PolicyQuestion, body), seams);
    default:
      throw new Refusal(
        404,
        `${what} is not served: POST /v1/cordon, /v1/uncordon, /v1/release and /v1/policy/explain are`,
      );
  }
}

function explain(question: PolicyQuestion, seams: ControlSeams): object {
  const policies = policiesOf(seams);
  try {
    return policies.explain(question);
  } catch (error) {
    throw new Refusal(404, (error as Error).message);
  }
}

/** Verdicts as JSON lines, until the client has enough. */
async function trace(request: IncomingMessage, response: ServerResponse, seams: ControlSeams): Promise<void> {
  const pod = new URL(request.url!, 'http://agent').searchParams.get('pod') ?? undefined;
  const closed = once(response, 'close');
  response.setHeader('content-type', 'application/x-ndjson');
  const end = await policiesOf(seams)
    .trace(pod, (line) => response.write(`${JSON.stringify(line)}\n`))
    .catch((error: Error) => {
      throw new Refusal(404, error.message);
    });
  // Verdicts may have come meanwhile, and the head with them.
  response.flushHeaders();
  await closed;
  await end();
}

function policiesOf({ policies }: ControlSeams): PolicyControl {
  if (policies) return policies;
  throw new Refusal(404, 'network policies are not enforced on this node: set ENABLE_NETWORK_POLICY=true');
}

const Block = z.object({ block: z.string() });
const Release = z.object({ block: z.string(), force: z.boolean().default(false) });

function read<T>(schema: z.ZodType<T>, body: string): T {
  try {
    return schema.parse(JSON.parse(body));
  } catch (error) {
    throw new Refusal(400, `the request cannot be read: ${(error as Error).message}`);
  }
}

function parse<T>(by: (text: string) => T, text: string): T {
  try {
    return by(text);
  } catch (error) {
    throw new Refusal(400, (error as Error).message);
  }
}

const blockOf = (text: string): Ipv4Cidr =>
  parse(parseIpv4Cidr, text.includes('/') ? text : `${parse(parseIpv4, text)}/32`);

async function cordon(text: string, { pool, log }: ControlSeams): Promise<object> {
  const block = blockOf(text);
  const all = pool.view.pool.enis.flatMap((eni) => [...addressesOf(eni)]);
  const within = all.filter((address) => contains(block, address));
  if (within.length === 0)
    throw new Refusal(404, `no pod address of this node is in ${block}: "enid ips" lists them`);
  await pool.cordon(block);
  const held = within.filter((address) => pool.view.pool.allocations.has(address)).length;
  log.warn({ block, addresses: within.length, held }, 'cordoned by hand');
  return { block, addresses: within.length, held };
}

async function uncordon(text: string, { pool, log }: ControlSeams): Promise<object> {
  const block = blockOf(text);
  const before = pool.view.pool.cordoned;
  await pool.uncordon(block);
  const after = pool.view.pool.cordoned;
  const wider = after.find((each) => contains(each, networkOf(block)));
  if (after.length === before.length) {
    const why = wider ? `it is in ${wider}, which is: uncordon that` : '"enid ips" shows what is';
    throw new Refusal(404, `${block} is not cordoned: ${why}`);
  }
  log.warn({ block }, 'uncordoned by hand');
  return {
    block,
    uncordoned: before.filter((each) => !after.includes(each)),
    ...(wider && { stillIn: wider }),
  };
}

/**
 * Takes the addresses of the block from sandboxes that are gone, and gives back to EC2 what of it is cordoned and at rest no
 * more. What is not cordoned stays: the pool counts on it, and would fetch it anew.
 */
async function release({ block: text, force }: { block: string; force: boolean }, seams: ControlSeams) {
  const block = blockOf(text);
  const released = await takeBack(block, force, seams);
  const { pool, log } = seams;
  const slots = pool.view.pool.enis
    .flatMap((eni) => (eni.leaving ? [] : eni.slots))
    .filter((slot) => covers(block, slotBlock(slot)));
  const cordoned = slots.filter((slot) => isCordonedSlot(pool.view.pool, slot));
  const now = seams.clock.now();
  const rest = cordoned
    .flatMap((slot) => [...addressesIn(slot)])
    .map((address) => coolingUntil(pool.view.pool, address, now));
  const until = Math.max(...rest.map((time) => time ?? 0), 0);
  const idle = cordoned.filter((slot) => isPutAside(pool.view.pool, slot, now));
  const givenBack = idle.length > 0 ? await pool.giveBack(idle.map(slotKey)) : [];
  if (givenBack.length > 0) log.warn({ block, givenBack }, 'given back to EC2 by hand');
  const restsUntil = until > 0 ? new Date(until).toISOString() : undefined;
  if (released.length + givenBack.length === 0) throw whyKept(block, slots, restsUntil, seams);
  return { block, released, givenBack, ...(restsUntil && { restsUntil }) };
}

/** Why there is nothing to release, and the way out. @param slots those within the block. */
function whyKept(
  block: Ipv4Cidr,
  slots: readonly Slot[],
  restsUntil: string | undefined,
  { pool }: ControlSeams,
): Refusal {
  const what = block.endsWith('/32') ? networkOf(block) : block;
  const kept = (status: number, why: string) => new Refusal(status, `${what} cannot be released: ${why}`);
  const isIn = (slot: Slot) => overlaps(block, slotBlock(slot));
  const eni = pool.view.pool.enis.find((each) => each.slots.some(isIn));
  if (!eni) return kept(404, 'it is no pod address of this node');
  if (eni.leaving) return kept(409, `it is on its way back to EC2, with ${eni.id}`);
  if (restsUntil)
    return kept(409, `no pod holds it, and it rests until ${restsUntil}: release it again then`);
  if (slots.length === 0)
    return kept(
      409,
      `no pod holds it, and it goes back to EC2 only with all of ${slotKey(eni.slots.find(isIn)!)}: cordon and release that`,
    );
  return kept(
    409,
    'no pod holds it, and the pool counts on it: cordon it first, so that others come in its place, then release it',
  );
}

/** Takes the addresses of the block from their holders: from all or from none. */
async function takeBack(block: Ipv4Cidr, force: boolean, seams: ControlSeams): Promise<object[]> {
  const { pool, plugin, log } = seams;
  const held = pool.assignments().filter(({ address }) => contains(block, address));
  const busy = held.find(({ key }) => plugin.isBusy(key));
  if (busy)
    throw new Refusal(
      409,
      `${nameOf(busy)} is being added or deleted at this moment: look again in a few seconds`,
    );
  const alive = await living(held, seams);
  if (alive.size > 0 && !force) {
    const who = [...alive].map(([each, why]) => `${each.address} is held by ${nameOf(each)}, and ${why}`);
    const wayOut =
      alive.size === 1
        ? 'delete the pod; or use --force, which cuts it off from the network'
        : 'delete the pods; or use --force, which cuts them off from the network';
    throw new Refusal(409, `${who.join('; ')}: ${wayOut}`);
  }
  const released: object[] = [];
  for (const each of held) {
    const { key, address, metadata } = each;
    // Somebody else may have released it meanwhile.
    const holder = pool.assignments().find((other) => other.address === address);
    if (holder?.key.containerId !== key.containerId) continue;
    await plugin.forget(key);
    const wasAlive = alive.has(each);
    log.warn({ address, ...key, ...metadata, force, alive: wasAlive }, 'released by hand');
    const { k8sPodNamespace: namespace = '', k8sPodName: pod = '' } = metadata;
    released.push({ address, namespace, pod, containerId: key.containerId, wasAlive });
  }
  return released;
}

const nameOf = ({ key, metadata: { k8sPodNamespace = '', k8sPodName } }: Assignment): string =>
  k8sPodName ? `${k8sPodNamespace}/${k8sPodName}` : key.containerId;

/** Those whose sandbox may still be there, each with what shows it. */
async function living(
  held: readonly Assignment[],
  { runtime, kernel = withoutSandbox }: ControlSeams,
): Promise<ReadonlyMap<Assignment, string>> {
  const gone = kernel(held);
  const alive = new Map<Assignment, string>();
  for (const each of held) if (!gone.includes(each)) alive.set(each, 'its sandbox is in the kernel');
  if (gone.length === 0) return alive;
  try {
    const sandboxes = await runtime();
    for (const each of gone)
      if (sandboxes?.has(each.key.containerId)) alive.set(each, 'the container runtime has its sandbox');
  } catch (error) {
    const why = `the container runtime cannot be asked (${(error as Error).message})`;
    for (const each of gone) alive.set(each, why);
  }
  return alive;
}
