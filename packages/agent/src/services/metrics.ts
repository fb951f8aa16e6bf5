/** Metrics under kube-proxy's names, so that dashboards and alarms keep working. */
import { Counter, exponentialBuckets, Gauge, Histogram, linearBuckets, type Registry } from 'prom-client';

export class ServiceMetrics {
  /** Seconds that a change of the rules took. */
  readonly syncDuration: Histogram;
  /** Seconds from what made an EndpointSlice change to rules that follow it. */
  readonly programmingDuration: Histogram;
  readonly serviceChanges: Counter;
  readonly endpointChanges: Counter;
  readonly syncFailures: Counter;
  /** Seconds since 1970. */
  readonly lastSync: Gauge;
  readonly lastQueued: Gauge;
  /** Answers of `/healthz` and `/livez`, by status. */
  readonly answers: { readonly healthz: Counter<'code'>; readonly livez: Counter<'code'> };

  constructor(registry: Registry) {
    const registers = [registry];
    const named = (name: string, help: string) => ({ name: `kubeproxy_${name}`, help, registers });
    const buckets = exponentialBuckets(0.001, 2, 15);
    this.syncDuration = new Histogram({
      ...named('sync_proxy_rules_duration_seconds', 'Time that a change of the rules took'),
      buckets,
    });
    this.programmingDuration = new Histogram({
      ...named(
        'network_programming_duration_seconds',
        'Time from a change of endpoints to rules that follow it',
      ),
      buckets: [
        0.25,
        0.5,
        ...linearBuckets(1, 1, 59),
        ...linearBuckets(60, 5, 12),
        ...linearBuckets(120, 30, 7),
      ],
    });
    this.serviceChanges = new Counter(
      named('sync_proxy_rules_service_changes_total', 'Changes of Services that were followed'),
    );
    this.endpointChanges = new Counter(
      named('sync_proxy_rules_endpoint_changes_total', 'Changes of EndpointSlices that were followed'),
    );
    this.syncFailures = new Counter(
      named('sync_proxy_rules_nftables_sync_failures_total', 'Changes of the rules that failed'),
    );
    this.lastSync = new Gauge(
      named('sync_proxy_rules_last_timestamp_seconds', 'When the rules were last brought up to date'),
    );
    this.lastQueued = new Gauge(
      named(
        'sync_proxy_rules_last_queued_timestamp_seconds',
        'When a change of the rules was last asked for',
      ),
    );
    const answers = (path: string) =>
      new Counter({ ...named(`proxy_${path}_total`, `Answers of /${path}`), labelNames: ['code'] });
    this.answers = { healthz: answers('healthz'), livez: answers('livez') };
  }
}
