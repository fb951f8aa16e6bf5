import { type Endpoints, isAlreadyExists, type Service, type Wire } from '@enid/kube';
import type * as k8s from '@kubernetes/client-node';
import { canonical, isEqual } from '../shared/canonical.ts';
import type { Cluster, Loop } from '../shared/cluster.ts';
import { reconciler } from '../shared/loop.ts';
import { isDeleted } from '../shared/pods.ts';
import {
  hasSelector,
  type ServiceEndpoint,
  serviceEndpoints,
  targetRef,
} from '../shared/service-endpoints.ts';
import { followServices, podsOf } from '../shared/services-of.ts';

type Subset = Wire<k8s.V1EndpointSubset>;

/** How many addresses an Endpoints object holds; EndpointSlices hold all. */
const MOST = 1000;

/** Says in the older Endpoints what EndpointSlices say. */
export function startEndpoints(cluster: Cluster): Loop {
  const { state, client } = cluster;
  const loop = reconciler(cluster, 'endpoints', reconcile);
  loop.on(...followServices(state, loop.queue));
  return loop;

  async function reconcile(key: string): Promise<void> {
    const service = state.services.get(key);
    const { namespace = '', name = '', labels = {} } = service?.metadata ?? {};
    const found = state.endpoints.get(key);
    const path = `/api/v1/namespaces/${key.split('/')[0]}/endpoints`;
    if (!service) {
      if (found?.metadata?.labels?.['endpoints.kubernetes.io/managed-by'] === 'endpoint-controller') {
        await client.delete(`${path}/${key.split('/')[1]}`);
      }
      return;
    }
    if (!hasSelector(service) || isDeleted(service)) return;
    const members = serviceEndpoints(service, podsOf(state, key), (node) => state.nodes.get(node));
    const wanted: Endpoints = {
      ...found,
      apiVersion: 'v1',
      kind: 'Endpoints',
      metadata: {
        ...found?.metadata,
        name,
        namespace,
        labels: {
          ...labels,
          'endpoints.kubernetes.io/managed-by': 'endpoint-controller',
          ...(service.spec?.clusterIP === 'None' && { 'service.kubernetes.io/headless': '' }),
        },
      },
      subsets: subsetsOf(service, members),
    };
    try {
      if (!found) await client.create(path, wanted);
      else if (
        !isEqual(found.subsets ?? [], wanted.subsets) ||
        !isEqual(found.metadata?.labels, wanted.metadata?.labels)
      ) {
        await client.replace(`${path}/${name}`, wanted);
      }
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
  }
}

/** Addresses with the same ports together. Those that are ending are left out, unless all are to be published. */
export function subsetsOf(service: Service, members: readonly ServiceEndpoint[]): Subset[] {
  const family = service.spec?.ipFamilies?.[0] ?? 'IPv4';
  const shown = members
    .filter((member) => member.family === family && (member.ready || !member.terminating))
    .sort((a, b) => (a.address < b.address ? -1 : 1))
    .slice(0, MOST);
  const groups = Map.groupBy(shown, ({ ports }) => canonical(ports));
  return [...groups]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, group]) => {
      const ready = group.filter((member) => member.ready).map(addressOf);
      const notReady = group.filter((member) => !member.ready).map(addressOf);
      const ports = group[0]!.ports.map(({ name, port, protocol, appProtocol }) => ({
        ...(name && { name }),
        port: port!,
        protocol,
        ...(appProtocol && { appProtocol }),
      }));
      return {
        ...(ready.length > 0 && { addresses: ready }),
        ...(notReady.length > 0 && { notReadyAddresses: notReady }),
        ...(ports.length > 0 && { ports }),
      };
    });
}

const addressOf = ({ address, hostname, nodeName, pod }: ServiceEndpoint) => ({
  ip: address,
  ...(hostname && { hostname }),
  ...(nodeName && { nodeName }),
  targetRef: targetRef(pod),
});
