import type { Ip } from '@enid/ip';
import { maxPods } from './instance-limits.ts';
import { type Bounds, canGrow } from './plan.ts';
import { addressesPerSlot, coolingUntil, countsOf, eniOf, isCordoned, type Pool } from './pool.ts';

/** What stands between a pod and an address, beside the pool itself. */
export type RefusalContext = {
  readonly instanceId: string;
  readonly instanceType: string;
  readonly bounds: Bounds;
  /** ENIs that the instance type takes. */
  readonly typeEnis: number;
  /** Attached ENIs that are not the agent's to use. */
  readonly unmanagedEnis: number;
  /** Whether prefixes can be delegated to the instance type. */
  readonly prefixesPossible?: boolean;
  readonly vcpus?: number | undefined;
  /** Why the primary ENI gives no addresses, when it does not: `custom networking keeps it free of pods`. */
  readonly primaryUnused?: string | undefined;
  readonly growth: Growth;
};

/** What keeps a pod from its address: one word to filter and alert by. */
export type RefusalCause =
  | 'SubnetExhausted'
  | 'PrefixFragmentation'
  | 'ENILimit'
  | 'AddressLimit'
  | 'Throttled'
  | 'Denied'
  | 'CoolingDown'
  | 'FailedAssignIP';

export type Refusal = { readonly cause: RefusalCause; readonly sentence: string };

/** How the pool's growth stands. */
export type Growth =
  | { readonly kind: 'possible' }
  /** Provisioning is somebody else's. */
  | { readonly kind: 'disabled'; readonly by: string }
  /** It cannot be, as things are set. @prop reason a sentence's end: why, and what to do. */
  | { readonly kind: 'impossible'; readonly reason: string }
  /** The last attempt failed. @prop reason a sentence's end: what was hit, on what, what to do. */
  | {
      readonly kind: 'failed';
      readonly reason: string;
      readonly cause?: RefusalCause | undefined;
      readonly retryAt: number;
    };

/**
 * Why a pod gets no address now, for the person who reads the pod's events: which limit was hit, on what, and what
 * to do.
 */
export function explainRefusal<A extends Ip>(pool: Pool<A>, context: RefusalContext, now: number): Refusal {
  const { instanceId, instanceType, bounds } = context;
  const { enis, total, assigned, cordoned, draining, cooling: resting } = countsOf(pool, now);
  const where = `no free address on ${instanceId} (${instanceType})`;
  const state = [
    `${enis} of ${bounds.enis} ENIs attached`,
    `${assigned} of ${total} addresses assigned${prefixes(pool)}`,
    cooling(pool, now),
    ...(cordoned > 0 ? [`${cordoned} cordoned`] : []),
    ...(draining > 0 ? [`${draining} going back to EC2`] : []),
  ];
  const { cause, text } = wayOut(pool, context, now);
  return {
    // What EC2 or a limit says comes first: it does not pass by itself.
    cause: cause ?? (resting > 0 ? 'CoolingDown' : 'FailedAssignIP'),
    sentence: [`${where}: ${state.join(', ')}`, ...text].join('; '),
  };
}

function prefixes<A extends Ip>({ enis, mode }: Pool<A>): string {
  const count = enis.flatMap(({ slots }) => slots).filter(({ kind }) => kind === 'prefix').length;
  return mode === 'prefix' || count > 0 ? ` (${count} ${count === 1 ? 'prefix' : 'prefixes'})` : '';
}

function cooling<A extends Ip>(pool: Pool<A>, now: number): string {
  const times = [...pool.released.keys()]
    .filter((address) => !pool.allocations.has(address) && !isCordoned(pool, address))
    .filter((address) => eniOf(pool, address)?.leaving === false)
    .map((address) => coolingUntil(pool, address, now))
    .filter((until) => until !== undefined)
    .sort((a, b) => a - b);
  const [first] = times;
  if (first === undefined) return '0 cooling';
  const last = times.at(-1)!;
  const until =
    first === last ? `until ${clockTime(first)}` : `from ${clockTime(first)} to ${clockTime(last)}`;
  return `${times.length} cooling down ${until} (IP_COOLDOWN_PERIOD is ${pool.cooldown / 1000} s)`;
}

type WayOut = { readonly cause?: RefusalCause | undefined; readonly text: readonly string[] };

function wayOut<A extends Ip>(pool: Pool<A>, context: RefusalContext, now: number): WayOut {
  const { instanceType, bounds, typeEnis, unmanagedEnis, growth, vcpus } = context;
  const { cooling, cordoned } = countsOf(pool, now);
  const retry = cooling > 0 ? ['the pod gets an address when it is tried again after the cooldown'] : [];
  const more = (text: string, cause?: RefusalCause): WayOut => ({ cause, text: [...retry, text] });
  if (growth.kind === 'disabled')
    return more(`${growth.by} is set, so the agent adds none: assign some to its ENIs, or unset it`);
  if (growth.kind === 'impossible') return more(`more cannot be had: ${growth.reason}`);
  if (canGrow({ pool, bounds, now })) {
    if (growth.kind === 'possible') return more('more are being fetched: try again in a few seconds');
    const seconds = Math.max(Math.ceil((growth.retryAt - now) / 1000), 0);
    return more(`more cannot be had: ${growth.reason}; next attempt in ${seconds} s`, growth.cause);
  }
  if (cooling > 0) return { text: retry };
  if (cordoned > 0)
    return { text: ['addresses were put aside by hand: "enid ips uncordon" lets pods have them'] };
  if (bounds.enis + unmanagedEnis < typeEnis)
    return more(
      `MAX_ENI allows ${bounds.enis} ENIs of the ${typeEnis} that ${instanceType} takes: raise it`,
      'ENILimit',
    );
  const withoutPrimary = pool.enis.some(({ primary, draining }) => primary && draining);
  const slots = (bounds.enis - (withoutPrimary ? 1 : 0)) * bounds.slotsPerEni;
  const pods = slots * addressesPerSlot(pool);
  const without = [
    ...(unmanagedEnis > 0 ? [` on the ENIs that the agent manages (${unmanagedEnis} it does not)`] : []),
    ...(withoutPrimary ? [` without its primary ENI (${context.primaryUnused ?? 'it drains'})`] : []),
  ];
  const withPrefixes =
    slots === 0
      ? 0
      : maxPods(
          { enis: bounds.enis, ipv4PerEni: bounds.slotsPerEni + 1, ...(vcpus !== undefined && { vcpus }) },
          { prefixDelegation: true, customNetworking: withoutPrimary },
        );
  const larger = 'use a larger instance type';
  return {
    cause: 'AddressLimit',
    text: [
      `${instanceType} holds ${pods} pods${without.join('')} besides host-network pods`,
      context.prefixesPossible && pool.mode === 'address' && withPrefixes > pods
        ? `set ENABLE_PREFIX_DELEGATION=true, with which it takes ${withPrefixes} (set the kubelet's max-pods to that), or ${larger}`
        : larger,
    ],
  };
}

/** `12:00:31Z` */
const clockTime = (time: number): string => `${new Date(time).toISOString().slice(11, 19)}Z`;
