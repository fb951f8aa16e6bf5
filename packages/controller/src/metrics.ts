import type { RequestOutcome } from '@enid/aws';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { LoadBalancersObserver } from './load-balancing/load-balancers.ts';
import type { NetworkPolicyObserver } from './network-policy/index.ts';

/** What the controller tells Prometheus. */
export class ControllerMetrics {
  readonly registry = new Registry();
  readonly #leader: Gauge;
  readonly networkPolicies: NetworkPolicyObserver;
  readonly loadBalancers: LoadBalancersObserver;
  /** Told of each request to AWS. */
  readonly awsRequest: (outcome: RequestOutcome) => void;
  /** How many policies, and load balancers, wait for their turn. */
  networkPolicyQueue = () => 0;
  loadBalancerQueue = () => 0;

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
    const reconciled = new Histogram({
      name: 'enid_load_balancer_reconcile_seconds',
      help: 'Time to give a Service or a group of Ingresses what it asks for',
      labelNames: ['kind'],
      buckets: [0.01, 0.1, 0.5, 1, 5, 15, 60],
      registers,
    });
    const changes = new Counter({
      name: 'enid_load_balancer_changes_total',
      help: 'Changes of load balancers and what belongs to them, by the call that made them',
      labelNames: ['call'],
      registers,
    });
    const failures = new Counter({
      name: 'enid_load_balancer_errors_total',
      help: 'Services and groups of Ingresses that failed and are tried again',
      labelNames: ['kind'],
      registers,
    });
    this.loadBalancers = {
      reconciled: (kind, seconds) => reconciled.observe({ kind }, seconds),
      changed: (call) => changes.inc({ call }),
      failed: (kind) => failures.inc({ kind }),
    };
    const requests = new Histogram({
      name: 'enid_aws_request_seconds',
      help: 'Time of requests to AWS, by operation and by how they ended: ok, or the name of the error',
      labelNames: ['operation', 'result'],
      buckets: [0.05, 0.1, 0.25, 0.5, 1, 5],
      registers,
    });
    this.awsRequest = ({ operation, milliseconds, error }) =>
      requests.observe({ operation, result: error ? (error as Error).name : 'ok' }, milliseconds / 1000);
    const gauge = (name: string, help: string, read: () => number) =>
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read());
        },
      });
    gauge('enid_network_policy_queue', 'Policies that wait to be resolved', () => this.networkPolicyQueue());
    gauge('enid_load_balancer_queue', 'Load balancers that wait for their turn', () =>
      this.loadBalancerQueue(),
    );
  }

  lead(leads: boolean): void {
    this.#leader.set(leads ? 1 : 0);
  }
}
