import { Gauge, type Registry } from 'prom-client';
import type { MaxPods } from './max-pods.ts';

/** Shows the kubelet's max-pods beside the computed one: alert where they differ. */
export function showKubernetes(
  registry: Registry,
  kubernetes: { readonly maxPods: MaxPods | undefined },
): void {
  const metric = new Gauge({
    name: 'enid_max_pods',
    help: 'Pods that this node takes, by who says so: the kubelet, or the addresses that the instance can have',
    labelNames: ['source'],
    registers: [registry],
    collect() {
      metric.reset();
      const { kubelet, computed } = kubernetes.maxPods ?? {};
      if (kubelet !== undefined) metric.set({ source: 'kubelet' }, kubelet);
      if (computed !== undefined) metric.set({ source: 'computed' }, computed);
    },
  });
}
