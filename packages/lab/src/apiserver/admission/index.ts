/**
 * Admission webhooks (`admissionregistration.k8s.io/v1`): who else has a say in a write, asked over HTTPS.
 *
 * `match` says which webhooks a request concerns, `review` what is asked and what an answer means, `endpoint` where a
 * webhook is, and `post` brings the one there and the other back.
 */
import { isDeepStrictEqual } from 'node:util';
import type { V1MutatingWebhook, V1ValidatingWebhook } from '@kubernetes/client-node';
import type { KubeObject, StoredObject } from '../object.ts';
import { jsonPatch } from '../patch/index.ts';
import type { Admission, Attributes } from '../registry/admission.ts';
import type { Catalog } from '../registry/catalog.ts';
import { show, store as stored } from '../registry/conversion.ts';
import type { Resource } from '../registry/resource.ts';
import { BUILT_IN } from '../registry/resources.ts';
import { ApiError } from '../status.ts';
import type { Store } from '../storage/store.ts';
import { endpointOf } from './endpoint.ts';
import { matchedAs } from './match.ts';
import { post } from './post.ts';
import { readReview, type Verdict, writeReview } from './review.ts';

type Webhook = V1MutatingWebhook | V1ValidatingWebhook;

const storageOf = (kind: string) => BUILT_IN.find((resource) => resource.kind === kind)!.storage;
const MUTATING = storageOf('MutatingWebhookConfiguration');
const VALIDATING = storageOf('ValidatingWebhookConfiguration');

/** The webhooks that a store's configurations name. */
export class Webhooks implements Admission {
  readonly #store: Store;
  readonly #catalog: Catalog;

  constructor(store: Store, catalog: Catalog) {
    this.#store = store;
    this.#catalog = catalog;
  }

  mutate(attributes: Attributes): Promise<KubeObject | undefined> | undefined {
    const webhooks = this.#webhooks<V1MutatingWebhook>(MUTATING);
    const concerned = webhooks.some((webhook) => this.#match(webhook, attributes));
    return concerned ? this.#mutate(webhooks, attributes) : undefined;
  }

  validate(attributes: Attributes): Promise<void> | undefined {
    const webhooks = this.#webhooks<V1ValidatingWebhook>(VALIDATING);
    const concerned = webhooks.flatMap((webhook) => {
      const as = this.#match(webhook, attributes);
      return as ? [{ webhook, as }] : [];
    });
    return concerned.length > 0 ? this.#validate(concerned, attributes) : undefined;
  }

  /** In the order in which they are asked: by the name of the configuration. */
  #webhooks<T extends Webhook>(storage: string): T[] {
    const byName = [...this.#store.all(storage)].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
    return byName.flatMap(({ webhooks }) => (webhooks ?? []) as T[]);
  }

  #match(webhook: Webhook, attributes: Attributes): Resource | undefined {
    return matchedAs(webhook, attributes, this.#store, this.#catalog);
  }

  /** One after another, each seeing what those before it have made; then again who wants to see what came after it. */
  async #mutate(
    webhooks: readonly V1MutatingWebhook[],
    attributes: Attributes,
  ): Promise<KubeObject | undefined> {
    let { object } = attributes;
    const seen = new Map<V1MutatingWebhook, KubeObject | undefined>();
    const ask = async (webhook: V1MutatingWebhook) => {
      const now = object ? { ...attributes, object } : attributes;
      const as = this.#match(webhook, now);
      if (!as) return;
      const patch = (await this.#ask(webhook, as, now))?.patch;
      if (object && patch) object = patched(webhook, as, now, object, patch);
      seen.set(webhook, object);
    };
    for (const webhook of webhooks) await ask(webhook);
    for (const webhook of webhooks) {
      if (webhook.reinvocationPolicy !== 'IfNeeded' || !seen.has(webhook)) continue;
      if (!isDeepStrictEqual(seen.get(webhook), object)) await ask(webhook);
    }
    return object;
  }

  /** All at once. The first refusal, in the webhooks' order, is the answer. */
  async #validate(
    concerned: readonly { readonly webhook: Webhook; readonly as: Resource }[],
    attributes: Attributes,
  ): Promise<void> {
    const asked = concerned.map(({ webhook, as }) => this.#ask(webhook, as, attributes));
    for (const answer of await Promise.allSettled(asked)) {
      if (answer.status === 'rejected') throw answer.reason;
    }
  }

  /** @returns undefined of a webhook that failed and may. @throws {ApiError} when it refuses, or fails and may not. */
  async #ask(webhook: Webhook, as: Resource, attributes: Attributes): Promise<Verdict | undefined> {
    const review = writeReview(as, attributes);
    let verdict: Verdict;
    try {
      const answer = await post(endpointOf(this.#store, webhook), review, webhook.timeoutSeconds!);
      verdict = readReview(answer, review, 'reinvocationPolicy' in webhook);
    } catch (error) {
      if (webhook.failurePolicy === 'Ignore') return undefined;
      const why = `failed calling webhook "${webhook.name}": ${(error as Error).message}`;
      throw new ApiError('InternalError', `Internal error occurred: ${why}`);
    }
    for (const warning of verdict.warnings) attributes.call.warn(warning);
    if (verdict.refusal) throw verdict.refusal(webhook.name);
    return verdict;
  }
}

/** An object with a webhook's patch of it. @throws {ApiError} InternalError when that does not fit. */
function patched(
  webhook: Webhook,
  as: Resource,
  { target }: Attributes,
  object: KubeObject,
  patch: unknown,
): KubeObject {
  const converted = as !== target.resource;
  try {
    const sent = converted ? show(as, stored(target.resource, object) as StoredObject) : object;
    const changed = jsonPatch(sent, patch, as) as KubeObject;
    return converted ? show(target.resource, stored(as, changed) as StoredObject) : changed;
  } catch (error) {
    const why = `admission webhook "${webhook.name}" answered with a patch that does not apply: ${(error as Error).message}`;
    throw new ApiError('InternalError', `Internal error occurred: ${why}`);
  }
}
