type NamedPod = { readonly podIP: string; readonly namespace: string; readonly name: string };

/** Who has which address, found at once: it is asked with each verdict that is told. The same pod may be told of by many. */
export class PodAddresses {
  /** By address: the pod that was told last, as `namespace/name`, and by how many. */
  readonly #pods = new Map<string, { key: string; count: number }>();

  add(pods: readonly NamedPod[] | undefined): void {
    for (const { podIP, namespace, name } of pods ?? []) {
      const known = this.#pods.get(podIP);
      const key = `${namespace}/${name}`;
      if (!known) this.#pods.set(podIP, { key, count: 1 });
      else {
        known.count++;
        if (known.key !== key) known.key = key;
      }
    }
  }

  /** Takes back what was added. */
  remove(pods: readonly NamedPod[] | undefined): void {
    for (const { podIP } of pods ?? []) {
      const known = this.#pods.get(podIP);
      if (known && --known.count === 0) this.#pods.delete(podIP);
    }
  }

  /** @returns `namespace/name`. */
  at(address: string): string | undefined {
    return this.#pods.get(address)?.key;
  }
}
