/** Prometheus metrics under Amazon's names, so that dashboards and alarms keep working. */
import { addressesPerSlot, countsOf, heldIn } from '@enid/ipam';
import { Counter, Gauge, Registry, Summary } from 'prom-client';
import type { CallObserver } from './aws/ec2.ts';
import type { Clock } from './clock.ts';
import type { PoolView } from './pool/node-pool.ts';

/** A sample: its label's value, when it has a label, and its value. */
type Sample = readonly [label: string, value: number];
type Family = {
  readonly kind: 'gauge' | 'counter';
  readonly name: string;
  readonly help: string;
  readonly label?: string;
  readonly samples: (view: PoolView, now: number) => Iterable<Sample>;
};

const one = (value: number): Sample[] => [['', value]];

const FAMILIES: readonly Family[] = [
  {
    kind: 'gauge',
    name: 'eni_max',
    help: 'ENIs that this node may have for pods',
    samples: ({ bounds }) => one(bounds.enis),
  },
  {
    kind: 'gauge',
    name: 'ip_max',
    help: 'Addresses that this node may have for pods',
    samples: ({ pool, bounds }) => one(bounds.enis * bounds.slotsPerEni * addressesPerSlot(pool)),
  },
  {
    kind: 'gauge',
    name: 'eni_allocated',
    help: 'ENIs attached for pods',
    samples: ({ pool }, now) => one(countsOf(pool, now).enis),
  },
  {
    kind: 'gauge',
    name: 'total_ip_addresses',
    help: 'Addresses on the ENIs of this node',
    samples: ({ pool }, now) => one(countsOf(pool, now).total),
  },
  {
    kind: 'gauge',
    name: 'assigned_ip_addresses',
    help: 'Addresses held by pods',
    samples: ({ pool }, now) => one(countsOf(pool, now).assigned),
  },
  {
    kind: 'gauge',
    name: 'total_ipv4_prefixes',
    help: 'Delegated IPv4 prefixes',
    samples: ({ pool }) =>
      one(pool.enis.flatMap(({ slots }) => slots).filter(({ kind }) => kind === 'prefix').length),
  },
  {
    kind: 'gauge',
    name: 'assigned_ip_per_cidr',
    help: 'Addresses held by pods, by block',
    label: 'cidr',
    samples: ({ pool }) =>
      pool.enis
        .flatMap(({ slots }) => slots)
        .map((slot) => [
          slot.kind === 'prefix' ? slot.cidr : `${slot.address}/32`,
          heldIn(pool, slot).length,
        ]),
  },
  {
    kind: 'gauge',
    name: 'assigned_ip_per_eni',
    help: 'Addresses held by pods, by ENI',
    label: 'eni',
    samples: ({ pool }) =>
      pool.enis.map((eni) => [eni.id, eni.slots.reduce((sum, slot) => sum + heldIn(pool, slot).length, 0)]),
  },
  {
    kind: 'gauge',
    name: 'ipamd_action_inprogress',
    help: 'Work on the pool under way',
    label: 'fn',
    samples: ({ events }) => events.inProgress,
  },
  {
    kind: 'counter',
    name: 'add_ip_req_count',
    help: 'Addresses asked for',
    samples: ({ events }) => one(events.assignRequests),
  },
  {
    kind: 'counter',
    name: 'del_ip_req_count',
    help: 'Addresses given back',
    label: 'reason',
    samples: ({ events }) => [['PodDeleted', events.releaseRequests]],
  },
  {
    kind: 'counter',
    name: 'no_available_ip_addresses',
    help: 'Pods that were refused because no address was free',
    samples: ({ events }) => one(events.refusals),
  },
  {
    kind: 'counter',
    name: 'reconcile_count',
    help: 'Differences to metadata that were made good',
    label: 'fn',
    samples: ({ events }) => Object.entries(events.reconciled),
  },
  {
    kind: 'counter',
    name: 'ipamd_error_count',
    help: 'Work on the pool that failed',
    label: 'fn',
    samples: ({ events }) => events.errors,
  },
  {
    kind: 'counter',
    name: 'force_removed_enis',
    help: 'ENIs that were detached by somebody else while pods held addresses of them',
    samples: ({ events }) => one(events.lostEnis),
  },
  {
    kind: 'counter',
    name: 'force_removed_ips',
    help: 'Addresses that were taken while a pod held them',
    samples: ({ events }) => one(events.lostAddresses),
  },
];

export class AgentMetrics {
  readonly registry = new Registry();
  readonly #latency: Summary<'api' | 'error' | 'status'>;
  readonly #errors: Counter<'api' | 'error'>;
  readonly #ec2Calls: Counter<'fn'>;
  readonly #ec2Errors: Counter<'fn'>;
  readonly #utilsErrors: Counter<'fn' | 'error'>;

  constructor() {
    const registers = [this.registry];
    this.#latency = new Summary({
      name: 'awscni_aws_api_latency_ms',
      help: 'Time of calls to AWS in milliseconds',
      labelNames: ['api', 'error', 'status'],
      registers,
    });
    this.#errors = new Counter({
      name: 'awscni_aws_api_error_count',
      help: 'Calls to AWS that failed',
      labelNames: ['api', 'error'],
      registers,
    });
    this.#utilsErrors = new Counter({
      name: 'awscni_aws_utils_error_count',
      help: 'Errors of AWS by call and code',
      labelNames: ['fn', 'error'],
      registers,
    });
    this.#ec2Calls = new Counter({
      name: 'awscni_ec2api_req_count',
      help: 'Calls to EC2',
      labelNames: ['fn'],
      registers,
    });
    this.#ec2Errors = new Counter({
      name: 'awscni_ec2api_error_count',
      help: 'Calls to EC2 that failed',
      labelNames: ['fn'],
      registers,
    });
  }

  /** Shows at what pace EC2 is called. */
  showPace(pace: () => { readonly rate: number; readonly throttles: number }): void {
    const registers = [this.registry];
    new Gauge({
      name: 'enid_ec2_calls_per_second',
      help: 'Calls to EC2 that are made at most: halved whenever EC2 throttles',
      registers,
      collect() {
        this.set(pace().rate);
      },
    });
    new Counter({
      name: 'enid_ec2_throttled_count',
      help: 'Calls that EC2 refused because the account made too many',
      registers,
      collect() {
        this.reset();
        this.inc(pace().throttles);
      },
    });
  }

  readonly observeCall: CallObserver = ({ operation, milliseconds, error }) => {
    this.#ec2Calls.inc({ fn: operation });
    this.#latency.observe(
      { api: operation, error: String(error !== undefined), status: error?.code ?? '200' },
      milliseconds,
    );
    if (!error) return;
    this.#utilsErrors.inc({ fn: operation, error: error.code });
    this.#ec2Errors.inc({ fn: operation });
    this.#errors.inc({ api: operation, error: error.code });
  };

  /** Shows the pool; its numbers are read when they are asked for. */
  showPool(view: () => PoolView, clock: Clock): void {
    for (const { kind, name, help, label, samples } of FAMILIES) {
      const labelNames = label ? [label] : [];
      const options = { name: `awscni_${name}`, help, labelNames, registers: [this.registry] };
      const metric = kind === 'gauge' ? new Gauge(options) : new Counter(options);
      // The library calls it as a method of the metric.
      Object.assign(metric, {
        collect() {
          metric.reset();
          for (const [value, number] of samples(view(), clock.now())) {
            metric.inc(label ? { [label]: value } : {}, number);
          }
        },
      });
    }
  }
}
