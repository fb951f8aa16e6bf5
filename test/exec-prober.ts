/** The {@link Prober} of a cluster that is given: one command in each pod makes all tries of it, by nc(1), and tells of them. */
import assert from 'node:assert/strict';
import type { Probe, Prober } from './probes.ts';
import type { Station, Stations } from './stations.ts';

/** Echoes all that comes. @param ports words. */
const listen = (address: string, ports: string) => `
  for port in ${ports}; do
    for what in TCP4-LISTEN:$port,backlog=128 UDP4-RECVFROM:$port; do
      socat $what,bind=${address},fork,reuseaddr PIPE </dev/null >>/tmp/listening 2>&1 &
    done
  done
  sleep 1
  cat /tmp/listening`;

/** Asks for an echo, and prints the number of the try when it comes. */
const ASK = `
  exec 2>/dev/null
  ask() { [ "$(echo "$1" | nc -n $2 -w "$3" "$4" "$5")" = "$1" ] && echo "$1"; }`;
const OPTIONS = { TCP: '-N', UDP: '"-u -W1"' };

export class ExecProber implements Prober {
  // No program speaks SCTP where the kernel has no module for it, and few have.
  readonly protocols = ['TCP', 'UDP'] as const;
  readonly quiet = 1000;
  readonly patience = 4000;
  readonly #stations: Stations;
  readonly #places: readonly Station[];

  private constructor(stations: Stations, places: readonly Station[]) {
    this.#stations = stations;
    this.#places = places;
  }

  /**
   * Listens at all of them, by processes that end with their pods.
   * @throws when a port is taken, as one of a node may be.
   */
  static async open(
    stations: Stations,
    places: readonly Station[],
    ports: readonly number[],
  ): Promise<ExecProber> {
    const prober = new ExecProber(stations, places);
    const told = await Promise.all(
      places.map((place) => prober.#sh(place, listen(place.address, ports.join(' ')))),
    );
    for (const [i, text] of told.entries())
      assert.equal(text, '', `${places[i]!.name} cannot listen on ${ports}: ${text}`);
    return prober;
  }

  async run(probes: readonly Probe[], expected: readonly boolean[], patience: number): Promise<boolean[]> {
    const passed = probes.map(() => false);
    const numbered = probes.map((probe, number) => ({ ...probe, number }));
    await Promise.all(
      this.#places.map(async (place) => {
        const asked = numbered
          .filter(({ from }) => from.name === place.name)
          .map(({ to, protocol, port, number }) => {
            assert.ok(protocol !== 'SCTP');
            const seconds = Math.ceil((expected[number] ? patience : this.quiet) / 1000);
            return `ask ${number} ${OPTIONS[protocol]} ${seconds} ${to.address} ${port} &`;
          });
        if (asked.length === 0) return;
        const text = await this.#sh(place, `${ASK}\n${asked.join('\n')}\nwait`);
        for (const number of text.trim().split(/\s+/).filter(Boolean)) passed[Number(number)] = true;
      }),
    );
    return passed;
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #sh(place: Station, script: string): Promise<string> {
    return this.#stations.output(place, ['sh', '-c', script]);
  }
}
