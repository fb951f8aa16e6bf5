import { type CriClient, RuntimeError } from '../cri/client.ts';
import type { Image } from '../cri/types.ts';
import { ContainerError } from '../objects/errors.ts';
import type { Container } from '../pod.ts';

export type ImageOptions = {
  /** Whether registries can be reached. */
  readonly registries: boolean;
  /** Names of images that exist, beside those that the node has. */
  readonly known: readonly string[];
  readonly hint: string;
};

export type Tell = (type: 'Normal' | 'Warning', reason: string, message: string) => void;

/** The images on the node. */
export class Images {
  readonly #client: CriClient;
  readonly #options: ImageOptions;

  constructor(client: CriClient, options: ImageOptions) {
    this.#client = client;
    this.#options = options;
  }

  /**
   * The image of a container, pulled if it must be.
   * @throws {ContainerError} ErrImagePull, ErrImageNeverPull or InvalidImageName.
   */
  async ensure({ image: name = '', imagePullPolicy }: Container, tell: Tell): Promise<Image> {
    if (name === '') throw new ContainerError('InvalidImageName', 'the container names no image');
    const found = await this.#client.imageStatus(name);
    // What the lab has it has composed: no registry has a newer one, and `Always` is satisfied.
    const always = this.#options.registries && imagePullPolicy === 'Always';
    if (found && !always) {
      tell('Normal', 'Pulled', `Container image "${name}" already present on machine`);
      return found;
    }
    if (imagePullPolicy === 'Never') {
      const message = `Container image "${name}" is not present with pull policy of Never`;
      tell('Warning', 'ErrImageNeverPull', message);
      throw new ContainerError('ErrImageNeverPull', message);
    }
    tell('Normal', 'Pulling', `Pulling image "${name}"`);
    const begun = Date.now();
    try {
      if (!this.#options.registries)
        throw new Error('the node does not have it, and the lab reaches no registry');
      await this.#client.pullImage(name);
    } catch (error) {
      const message = `Failed to pull image "${name}": ${(error as Error).message}${await this.#whatThereIs()}`;
      tell('Warning', 'Failed', message);
      throw new ContainerError('ErrImagePull', message, { cause: error });
    }
    const pulled = await this.#client.imageStatus(name);
    if (!pulled) throw new ContainerError('ErrImagePull', `image "${name}" was pulled but is not there`);
    const seconds = (Date.now() - begun) / 1000;
    tell(
      'Normal',
      'Pulled',
      `Successfully pulled image "${name}" in ${seconds}s. Image size: ${pulled.size} bytes.`,
    );
    return pulled;
  }

  /** All that the node has, for its status. */
  list(): Promise<readonly Image[]> {
    return this.#client.listImages();
  }

  async #whatThereIs(): Promise<string> {
    const { known, hint } = this.#options;
    const stored = await this.#client.listImages().catch((error) => {
      if (error instanceof RuntimeError) return [];
      throw error;
    });
    const names = [...new Set([...known, ...stored.flatMap(({ repoTags }) => repoTags)])].sort();
    return `. Images that exist: ${names.join(', ') || 'none'}${hint && `. ${hint}`}`;
  }
}
