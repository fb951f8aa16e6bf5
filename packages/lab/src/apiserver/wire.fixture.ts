/** A connection to a server that breaks in the ways that connections break. */
import { once } from 'node:events';
import { connect as connectTo, createServer, type Socket } from 'node:net';

export type Wire = {
  readonly port: number;
  /** Breaks every connection. @returns how many there were. */
  cut(): number;
  /** Breaks every connection, and every new one until it is mended. */
  sever(): void;
  /** Keeps from clients what the server sends, as if they did not read, until it is mended. */
  stall(): void;
  mend(): void;
  close(): void;
};

/** A wire to a port of this machine. */
export async function openWire(port: number): Promise<Wire> {
  const pairs = new Map<Socket, Socket>();
  let severed = false;
  /** Those whose clients get nothing; undefined: none is held. */
  let held: [Socket, Socket][] | undefined;
  const listener = createServer((near) => {
    near.on('error', () => {});
    if (severed) return void near.destroy();
    const far = connectTo(port, '127.0.0.1');
    far.on('error', () => {});
    near.pipe(far);
    if (held) held.push([near, far]);
    else far.pipe(near);
    pairs.set(near, far);
    near.once('close', () => {
      far.destroy();
      pairs.delete(near);
    });
    far.once('close', () => near.destroy());
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const cut = () => {
    const { size } = pairs;
    for (const near of pairs.keys()) near.destroy();
    return size;
  };
  return {
    port: (listener.address() as { port: number }).port,
    cut,
    sever: () => {
      severed = true;
      cut();
    },
    stall: () => {
      held = [...pairs];
      for (const [near, far] of held) far.unpipe(near).pause();
    },
    mend: () => {
      severed = false;
      for (const [near, far] of held ?? []) if (!near.destroyed) far.pipe(near);
      held = undefined;
    },
    close: () => {
      listener.close();
      cut();
    },
  };
}
