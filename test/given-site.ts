import type { Site } from './site.ts';
import { Stations } from './stations.ts';

/**
 * A given cluster, asked from one of its pods: nothing is known of the internet, so load balancers are internal, and see the
 * pod itself.
 */
export async function givenSite(kubeconfig: string, namespace: string): Promise<Site> {
  await using stack = new AsyncDisposableStack();
  const stations = stack.use(new Stations(kubeconfig));
  await stations.namespace(namespace);
  stack.defer(() => stations.remove(namespace));
  const [asker] = await stations.start([{ name: 'outside', namespace }]);
  const all = stack.move();
  return {
    stations,
    namespace,
    aws: {},
    address: asker!.address,
    scheme: 'internal',
    patience: 300_000,
    run: async (...command) => (await stations.run(asker!, command)).stdout,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}
