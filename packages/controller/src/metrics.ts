import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { NetworkPolicyObserver } from './network-policy/index.ts';

/** What the controller tells Prometheus. */
export class ControllerMetrics {
  readonly registry = new Registry();
  readonly #leader: Gauge;
  readonly networkPolicies: NetworkPolicyObserver;

  constructor() {
    const registers = [this.registry];
    this.#leader = new Gauge({ name: 'enid_controller_leader', help: '1 while this one leads', registers });
    this.#leader.set(0);
    const resolved = new Histogram({
      name: 'enid_network_policy_resolve_seconds',
      help: 'Time to resolve one policy to addresses',
      buckets: [0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1],
      registers,
    });
    const writes = new Counter({
      name: 'enid_policy_endpoint_writes_total',
      help: 'PolicyEndpoints and ClusterPolicyEndpoints written',
      labelNames: ['verb'],
      registers,
    });
    const errors = new Counter({
      name: 'enid_network_policy_errors_total',
      help: 'Policies that could not be written and are tried again',
      registers,
    });
    this.networkPolicies = {
      resolved: (seconds) => resolved.observe(seconds),
      wrote: (verb) => writes.inc({ verb }),
      failed: () => errors.inc(),
    };
  }

  lead(leads: boolean): void {
    this.#leader.set(leads ? 1 : 0);
  }

  /** Shows how many policies wait for their turn. */
  showQueue(waiting: () => number): void {
    new Gauge({
      name: 'enid_network_policy_queue',
      help: 'Policies that wait to be resolved',
      registers: [this.registry],
      collect() {
        this.set(waiting());
      },
    });
  }
}
