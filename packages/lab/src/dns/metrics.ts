import type { Upstream } from './forward.ts';

type Labels = Readonly<Record<string, string>>;

/** Upper ends of the duration's buckets, in seconds. */
const BUCKETS = [0.00025, 0.001, 0.004, 0.016, 0.064, 0.256, 1.024, 4.096];
const SERVER: Labels = { server: 'dns://:53' };

/** What the server has done, under the names of CoreDNS's metrics, as Prometheus reads it. */
export class DnsMetrics {
  readonly #values = new Map<string, Map<string, number>>();
  #lastFailure = '';

  /** A question was answered in so many milliseconds. */
  count(proto: string, type = 'other', rcode = 'other', duration: number): void {
    const seconds = duration / 1000;
    this.#add('coredns_dns_requests_total', { ...SERVER, zone: '.', view: '', proto, family: '1', type });
    this.#add('coredns_dns_responses_total', { ...SERVER, zone: '.', view: '', rcode, plugin: '' });
    const name = 'coredns_dns_request_duration_seconds';
    for (const end of [...BUCKETS, Infinity]) {
      const le = end === Infinity ? '+Inf' : `${end}`;
      this.#add(`${name}_bucket`, { ...SERVER, zone: '.', le }, seconds <= end ? 1 : 0);
    }
    this.#add(`${name}_sum`, { ...SERVER, zone: '.' }, seconds);
    this.#add(`${name}_count`, { ...SERVER, zone: '.' });
  }

  forwarded({ address, port }: Upstream, rcode = 'other'): void {
    const to = `${address}:${port}`;
    this.#add('coredns_forward_requests_total', { to });
    this.#add('coredns_forward_responses_total', { to, rcode });
  }

  cached(hit: boolean): void {
    this.#add(hit ? 'coredns_cache_hits_total' : 'coredns_cache_misses_total', SERVER);
  }

  /** A question could not be answered. Said once, until another reason comes. */
  failed(error: Error): void {
    this.#add('coredns_forward_failures_total', {});
    if (error.message !== this.#lastFailure) console.error(`[ERROR] ${error.message}`);
    this.#lastFailure = error.message;
  }

  /** The text that Prometheus reads. */
  render(): string {
    const lines = ['# TYPE coredns_build_info gauge', 'coredns_build_info{version="1.11.4"} 1'];
    for (const [name, values] of this.#values) {
      if (name.endsWith('_total')) lines.push(`# TYPE ${name} counter`);
      if (name.endsWith('_bucket')) lines.push(`# TYPE ${name.slice(0, -'_bucket'.length)} histogram`);
      for (const [labels, value] of values) lines.push(`${name}${labels} ${value}`);
    }
    return `${lines.join('\n')}\n`;
  }

  #add(name: string, labels: Labels, by = 1): void {
    let values = this.#values.get(name);
    if (!values) {
      values = new Map();
      this.#values.set(name, values);
    }
    const pairs = Object.entries(labels).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
    const key = pairs.length > 0 ? `{${pairs.join(',')}}` : '';
    values.set(key, (values.get(key) ?? 0) + by);
  }
}
