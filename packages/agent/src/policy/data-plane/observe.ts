/** What the programs have seen, as others read it. */
import type { BpfMap, RingBuffer } from '@enid/ebpf';
import type { RuleRef } from '../rules.ts';
import { EXEMPT, type FlowKey, type FlowState, type KernelEvent, ticks } from './layouts.ts';
import { inSlices } from './slices.ts';
import type { Counters, Flow, PolicyEvent } from './types.ts';

const REASONS = ['rule', 'fragment', 'malformed'] as const;
const ICMP = [1, 58];

/** How long events wait for others, in milliseconds: each wake-up of the process costs more than many events do. */
const BATCH = 100;

/** The events of a ring as they come. @param ruleOf the rules by number, of those that the process itself has loaded. */
export async function* eventsOf(
  ring: RingBuffer<KernelEvent>,
  loaded: number,
  ruleOf: (event: KernelEvent) => RuleRef | undefined,
): AsyncGenerator<PolicyEvent> {
  const boot = Date.now() - Number(process.hrtime.bigint() / 1_000_000n);
  for await (const events of ring.batches(BATCH))
    for (const event of events) {
      const { ifindex, direction, source, destination, protocol, sourcePort, destinationPort } = event;
      const reason = REASONS[event.reason]!;
      const by = reason === 'rule' && event.loaded === loaded ? ruleOf(event) : undefined;
      yield {
        time: boot + Number(event.nanoseconds / 1_000_000n),
        ...{ ifindex, direction, verdict: event.allowed ? 'allow' : 'deny', reason, ...(by && { by }) },
        ...{ source, destination, protocol, sourcePort, destinationPort },
      };
    }
}

/** The sums of all processors. */
export function countersOf(map: BpfMap): Counters {
  const sums: Record<string, readonly [number, number]> = {};
  let [lostEvents, untracked] = [0, 0];
  for (const one of map.lookup(0)) {
    for (const name of ['denied_packets', 'passed_packets', 'denied_flows', 'allowed_flows']) {
      const [ingress, egress] = sums[name] ?? [0, 0];
      sums[name] = [ingress + Number(one[name][0]), egress + Number(one[name][1])];
    }
    lostEvents += Number(one.lost_events);
    untracked += Number(one.untracked);
  }
  const pair = (allow: string, deny: string) => ({
    ingress: { allow: sums[allow]![0], deny: sums[deny]![0] },
    egress: { allow: sums[allow]![1], deny: sums[deny]![1] },
  });
  return {
    packets: pair('passed_packets', 'denied_packets'),
    flows: pair('allowed_flows', 'denied_flows'),
    lostEvents,
    untracked,
  };
}

/** @param stateOf what binds the pod of a flow now, and which rule let it through. */
export async function flowsOf(
  map: BpfMap<FlowKey, FlowState>,
  ifindex: number | undefined,
  stateOf: (
    key: FlowKey,
    flow: FlowState,
  ) => { readonly isCurrent: boolean; readonly by: RuleRef | undefined },
): Promise<Flow[]> {
  const flows: Flow[] = [];
  const now = ticks();
  const walk = function* (): Generator<void, void> {
    let count = 0;
    for (const [key, flow] of map) {
      if (++count % 256 === 0) yield;
      if (ifindex !== undefined && key.ifindex !== ifindex) continue;
      const exempt = flow.binding === EXEMPT;
      const { isCurrent, by } = stateOf(key, flow);
      const isIcmp = ICMP.includes(key.protocol);
      flows.push({
        ...key,
        // ICMP's request and reply share an identifier, and the other place says which is which.
        remotePort: isIcmp ? 0 : key.remotePort,
        direction: flow.direction,
        exempt,
        current: exempt || isCurrent,
        idle: ((now - flow.seen) * 2 ** 30) / 1e9,
        ...(by && !exempt && { by }),
      });
    }
  };
  await inSlices(walk());
  return flows;
}
