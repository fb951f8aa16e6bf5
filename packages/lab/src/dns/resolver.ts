import {
  type Answer,
  AUTHORITATIVE_ANSWER,
  decode,
  encode,
  type OptAnswer,
  type Packet,
  type Question,
  RECURSION_AVAILABLE,
  RECURSION_DESIRED,
  TRUNCATED_RESPONSE,
} from 'dns-packet';
import { answer, type Resolution, type Zone } from './answer.ts';
import { AnswerCache } from './cache.ts';
import type { Forwarder } from './forward.ts';
import type { DnsMetrics } from './metrics.ts';
import type { ClusterRecords } from './records.ts';
import { rcodeOf, readdress, truncated } from './wire.ts';

export type Protocol = 'udp' | 'tcp';

const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const;
const RCODE_NAMES = Object.fromEntries(Object.entries(RCODE).map(([name, code]) => [code, name]));
/** What UDP may carry for who does not say otherwise, and for who says too much: it must not be fragmented. */
const PLAIN_SIZE = 512;
const LARGEST_SIZE = 4096;
const OWN_SIZE = 1232;

export type ResolverOptions = {
  readonly zone: Zone;
  /** What is known of the cluster now; undefined until it was read. */
  readonly records: () => ClusterRecords | undefined;
  readonly forwarder: Forwarder;
  readonly metrics: DnsMetrics;
  /** Called with the name of each question, to find out that what is passed on comes back. */
  readonly onQuestion?: (name: string) => void;
};

/** Turns queries into responses: of the cluster from its records, of all else by asking others. */
export class Resolver {
  readonly #options: ResolverOptions;
  readonly #cache = new AnswerCache();
  #turn = 0;

  constructor(options: ResolverOptions) {
    this.#options = options;
  }

  /** @returns the response; undefined when the bytes are no query that could be answered. Never throws. */
  async respond(query: Buffer, protocol: Protocol): Promise<Buffer | undefined> {
    const started = performance.now();
    let packet: Packet;
    try {
      packet = decode(query);
    } catch {
      return query.length >= 12 && (query[2]! & 0x80) === 0 ? malformed(query) : undefined;
    }
    if (packet.type !== 'query') return undefined;
    const [question] = packet.questions ?? [];
    const response = await this.#respondTo(packet, question, query, protocol);
    this.#options.metrics.count(
      protocol,
      question?.type,
      RCODE_NAMES[rcodeOf(response)],
      performance.now() - started,
    );
    return response;
  }

  async #respondTo(
    packet: Packet,
    question: Question | undefined,
    query: Buffer,
    protocol: Protocol,
  ): Promise<Buffer> {
    const isQuery = ((packet.flags ?? 0) & 0x7800) === 0;
    if (!isQuery) return refuse(packet, RCODE.NOTIMP);
    if (!question || packet.questions?.length !== 1) return refuse(packet, RCODE.FORMERR);
    if (question.class !== 'IN') return refuse(packet, RCODE.REFUSED);
    this.#options.onQuestion?.(question.name);
    const limit = protocol === 'tcp' ? 0xffff : sizeLimit(packet);
    try {
      const records = this.#options.records();
      if (!records && this.#isOwn(question.name)) return refuse(packet, RCODE.SERVFAIL);
      const resolution = records && answer(question, records, this.#options.zone);
      if (!resolution) return fit(await this.#forward(query, packet, question), limit);
      return encodeWithin(packet, await this.#follow(resolution, question), limit);
    } catch (error) {
      this.#options.metrics.failed(error as Error);
      return refuse(packet, RCODE.SERVFAIL);
    }
  }

  #isOwn(name: string): boolean {
    return `.${name.toLowerCase()}`.endsWith(`.${this.#options.zone.name}`);
  }

  /** Adds what a name leads to, and lets each address of many be the first one in turn. */
  async #follow(resolution: Resolution, { type }: Question): Promise<Resolution> {
    const { answers, follow } = resolution;
    if (follow === undefined) return { ...resolution, answers: rotated(answers, this.#turn++) };
    const question: Question = { type, name: follow, class: 'IN' };
    const own = answer(question, this.#options.records()!, this.#options.zone);
    if (own) return { ...resolution, answers: [...answers, ...own.answers] };
    const query = encode({ type: 'query', id: 0, flags: RECURSION_DESIRED, questions: [question] });
    const found = decode(await this.#forward(query, decode(query), question));
    return { ...resolution, answers: [...answers, ...(found.answers ?? [])] };
  }

  async #forward(query: Buffer, packet: Packet, question: Question): Promise<Buffer> {
    const { forwarder, metrics } = this.#options;
    const key = cacheKey(packet, question);
    const cached = this.#cache.get(key);
    metrics.cached(cached !== undefined);
    if (cached) return readdress(cached.message, query, cached.age);
    const { message, upstream } = await forwarder.ask(query);
    metrics.forwarded(upstream, RCODE_NAMES[rcodeOf(message)]);
    this.#cache.set(key, message);
    return readdress(message, query, 0);
  }
}

/** Two queries with the same key have the same answer. */
function cacheKey({ flags = 0, additionals = [] }: Packet, { name, type }: Question): string {
  const edns = additionals.find((each): each is OptAnswer => each.type === 'OPT');
  const wanted = flags & 0x0130; // Recursion, and what is asked about DNSSEC.
  return `${name.toLowerCase()} ${type} ${wanted} ${edns ? (edns.flag_do ? 'do' : 'edns') : ''}`;
}

function rotated(answers: readonly Answer[], turn: number): readonly Answer[] {
  const by = answers.length > 1 && answers[0]!.type === 'A' ? turn % answers.length : 0;
  return [...answers.slice(by), ...answers.slice(0, by)];
}

function sizeLimit({ additionals = [] }: Packet): number {
  const edns = additionals.find((each): each is OptAnswer => each.type === 'OPT');
  return Math.min(Math.max(edns?.udpPayloadSize ?? PLAIN_SIZE, PLAIN_SIZE), LARGEST_SIZE);
}

/** A response as long as it may be: what has no room is left out, and the client told so. */
function encodeWithin(query: Packet, resolution: Resolution, limit: number): Buffer {
  let { answers, additionals } = resolution;
  let flags = AUTHORITATIVE_ANSWER | RCODE[resolution.rcode];
  for (;;) {
    const message = encode(responseTo(query, flags, { ...resolution, answers, additionals }));
    if (message.length <= limit) return message;
    if (additionals.length > 0) {
      additionals = []; // They may be left out without a word.
      continue;
    }
    if (answers.length === 0) return message;
    flags |= TRUNCATED_RESPONSE;
    const perAnswer = message.length / answers.length;
    answers = answers.slice(0, Math.min(answers.length - 1, Math.floor(limit / perAnswer)));
  }
}

function fit(message: Buffer, limit: number): Buffer {
  return message.length <= limit ? message : truncated(message);
}

function responseTo(query: Packet, flags: number, sections: Omit<Resolution, 'rcode'>): Packet {
  const edns = query.additionals?.find((each): each is OptAnswer => each.type === 'OPT');
  const opt: OptAnswer[] = edns
    ? [{ ...edns, name: '.', udpPayloadSize: OWN_SIZE, extendedRcode: 0, ednsVersion: 0, options: [] }]
    : [];
  return {
    type: 'response',
    id: query.id,
    flags: flags | RECURSION_AVAILABLE | ((query.flags ?? 0) & RECURSION_DESIRED),
    questions: query.questions,
    answers: [...sections.answers],
    authorities: [...sections.authorities],
    additionals: [...sections.additionals, ...opt],
  };
}

function refuse(query: Packet, rcode: number): Buffer {
  return encode(responseTo(query, rcode, { answers: [], authorities: [], additionals: [] }));
}

/** To what has a header and no sense behind it. */
function malformed(query: Buffer): Buffer {
  const response = Buffer.alloc(12);
  query.copy(response, 0, 0, 2);
  response.writeUInt16BE(0x8000 | RCODE.FORMERR, 2);
  return response;
}
