import type { Cidr } from '@enid/ip';
import { systemClock } from '../clock.ts';
import type { Logger } from '../log.ts';
import { Imds } from './metadata.ts';

/** How often they are read, in milliseconds. */
const INTERVAL = 60_000;

/** The VPC's blocks, by instance metadata. Off EC2 there are none, and endpoints are expected anywhere. */
export class VpcBlocks implements Disposable {
  /** The same list for ever, whose content follows the VPC. */
  readonly blocks: Cidr[] = [];
  readonly #log: Logger;
  readonly #handlers = new Set<() => void>();
  readonly #timer: NodeJS.Timeout;

  constructor(log: Logger) {
    this.#log = log;
    this.#timer = setInterval(() => this.read(), INTERVAL).unref();
  }

  /** Calls the handler at each change of the blocks. @returns what ends that. */
  onChange(handler: () => void): () => void {
    this.#handlers.add(handler);
    return () => this.#handlers.delete(handler);
  }

  /** Never throws: Services do not wait for it. */
  async read(): Promise<void> {
    try {
      const metadata = await Imds.open(systemClock);
      const { mac } = await metadata.identity();
      const read = await metadata.vpcCidrs(mac);
      if (`${read}` === `${this.blocks}`) return;
      this.blocks.splice(0, Number.POSITIVE_INFINITY, ...read);
      for (const handler of this.#handlers) handler();
    } catch (error) {
      this.#log.debug({ err: error }, "instance metadata does not tell the VPC's blocks");
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
