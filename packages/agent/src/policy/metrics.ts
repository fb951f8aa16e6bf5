import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { PolicyDataPlane } from './data-plane/index.ts';

/**
 * Adds to a registry what the data plane counts.
 * @returns what is told how long a change of policies took to be in force, in seconds.
 */
export function showPolicies(
  registry: Registry,
  plane: Pick<PolicyDataPlane, 'counters' | 'usage'>,
): (seconds: number) => void {
  const registers = [registry];
  const labelNames = ['direction', 'verdict'] as const;
  /** Counters that the kernel has are set to what it says. */
  const shown = <const L extends string>(
    name: string,
    help: string,
    labels: readonly L[],
    read: () => Iterable<[Record<L, string>, number]>,
  ) =>
    new Counter({
      name,
      help,
      registers,
      labelNames: [...labels],
      collect() {
        this.reset();
        for (const [label, value] of read()) this.inc(label, value);
      },
    });
  const byVerdict = function* (
    what: 'packets' | 'flows',
  ): Generator<[{ direction: string; verdict: string }, number]> {
    const counters = plane.counters()[what];
    for (const direction of ['ingress', 'egress'] as const) {
      for (const verdict of ['allow', 'deny'] as const)
        yield [{ direction, verdict }, counters[direction][verdict]];
    }
  };
  shown('networkpolicy_packets_total', 'Packets of pods, by verdict', labelNames, () => byVerdict('packets'));
  shown('networkpolicy_flows_total', 'Flows that were judged, by verdict', labelNames, () =>
    byVerdict('flows'),
  );
  shown('networkpolicy_events_lost_total', 'Verdicts that were not logged', [], () => [
    [{}, plane.counters().lostEvents],
  ]);
  shown('networkpolicy_flows_untracked_total', 'Flows that could not be remembered', [], () => [
    [{}, plane.counters().untracked],
  ]);
  new Gauge({
    name: 'networkpolicy_map_entries',
    help: 'Entries of the maps in the kernel, and the most they hold',
    registers,
    labelNames: ['map', 'of'],
    collect() {
      for (const [map, { used, most }] of Object.entries(plane.usage())) {
        this.set({ map, of: 'used' }, used);
        this.set({ map, of: 'most' }, most);
      }
    },
  });
  const applied = new Histogram({
    name: 'networkpolicy_apply_duration_seconds',
    help: 'From hearing of a change to its being in force',
    registers,
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
  });
  return (seconds) => applied.observe(seconds);
}
