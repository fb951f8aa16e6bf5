/**
 * What an operator does by hand: addresses are put aside, and taken from pods that are gone. Served on a unix socket of mode
 * 0600, so for root alone, and never on a port.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { contains, type Ipv4, type Ipv4Cidr, networkOf, parseIpv4, parseIpv4Cidr } from '@enid/ip';
import { addressesOf, eniOf } from '@enid/ipam';
import { z } from 'zod';
import type { AddressMap } from './address-map.ts';
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
  readonly pool: Pick<WarmPool, 'view' | 'assignments' | 'cordon' | 'uncordon'>;
  readonly map: () => Promise<AddressMap>;
  /** Where network policies are enforced. */
  readonly policies?: PolicyControl | undefined;
  readonly log: Logger;
};

export type ControlSeams = ControlOptions & {
  readonly plugin: Pick<CniPlugin, 'forget' | 'isBusy'>;
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
const Release = z.object({ address: z.string(), force: z.boolean().default(false) });

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

async function release({ address: text, force }: { address: string; force: boolean }, seams: ControlSeams) {
  const { pool, plugin, log } = seams;
  const address: Ipv4 = parse(parseIpv4, text);
  const held = pool.assignments().find((each) => each.address === address);
  if (!held) {
    const known = eniOf(pool.view.pool, address) ? 'no pod holds it' : 'it is no pod address of this node';
    throw new Refusal(404, `${address} cannot be released: ${known}`);
  }
  const { key, metadata } = held;
  const { k8sPodNamespace: namespace = '', k8sPodName: pod = '' } = metadata;
  const who = pod ? `${namespace}/${pod}` : key.containerId;
  if (plugin.isBusy(key))
    throw new Refusal(409, `${who} is being added or deleted at this moment: look again in a few seconds`);
  const alive = await whyAlive(held, seams);
  if (alive && !force) {
    const wayOut = 'delete the pod; or use --force, which cuts it off from the network';
    throw new Refusal(409, `${address} is held by ${who}, and ${alive}: ${wayOut}`);
  }
  if (pool.assignments().find((each) => each.address === address)?.key.containerId !== key.containerId)
    throw new Refusal(409, `${address} has just been released by somebody else`);
  await plugin.forget(key);
  log.warn({ address, ...key, ...metadata, force, alive: alive !== undefined }, 'released by hand');
  return { address, namespace, pod, containerId: key.containerId, wasAlive: alive !== undefined };
}

/** What shows that the sandbox may still be there; undefined when it is gone. */
async function whyAlive(held: Assignment, seams: ControlSeams): Promise<string | undefined> {
  const { runtime, kernel = withoutSandbox } = seams;
  if (kernel([held]).length === 0) return 'its sandbox is in the kernel';
  try {
    return (await runtime())?.has(held.key.containerId) ? 'the container runtime has its sandbox' : undefined;
  } catch (error) {
    return `the container runtime cannot be asked (${(error as Error).message})`;
  }
}
