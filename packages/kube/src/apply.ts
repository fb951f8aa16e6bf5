import type { KubeClient } from './client.ts';
import type { KubeObject } from './wire.ts';

type Discovered = { readonly resources: readonly { name: string; kind: string; namespaced: boolean }[] };

/**
 * Applies objects on the server's side, in their order, taking over what others own of their fields.
 * @param fieldManager on whose behalf.
 * @throws {ApiError} of the first that is refused; Error for a kind that the server does not have.
 */
export async function applyObjects(
  client: KubeClient,
  objects: readonly KubeObject[],
  fieldManager: string,
): Promise<void> {
  const known = new Map<string, Promise<Discovered>>();
  for (const object of objects) {
    const { apiVersion = '', kind, metadata } = object;
    const root = `${apiVersion.includes('/') ? '/apis' : '/api'}/${apiVersion}`;
    const discovered = known.get(root) ?? client.get<Discovered>(root);
    known.set(root, discovered);
    const resource = (await discovered).resources.find(
      (found) => found.kind === kind && !found.name.includes('/'),
    );
    if (!resource) throw new Error(`the server has no ${kind} in ${apiVersion}`);
    const namespace = resource.namespaced ? `/namespaces/${metadata?.namespace ?? 'default'}` : '';
    await client.request('PATCH', `${root}${namespace}/${resource.name}/${metadata?.name}`, {
      query: { fieldManager, force: true },
      contentType: 'application/apply-patch+yaml',
      body: object,
    });
  }
}
