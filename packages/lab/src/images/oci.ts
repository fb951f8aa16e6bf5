import { createHash } from 'node:crypto';
import { arch } from 'node:os';
import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { pack } from 'tar-stream';
import type { Image, Layer } from './catalog.ts';
import { addFile } from './file-tree.ts';
import { type BuiltLayer, stackOf } from './layers.ts';
import { canonicalReference } from './reference.ts';

const MEDIA_TYPE = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
};

/** A blob of an image layout: its content, or the path of the file that has it. */
type Blob = { readonly digest: string; readonly size: number; readonly body: Buffer | string };

/** An image as containerd will know it. */
export type PreparedImage = {
  /** With registry and tag. */
  readonly names: readonly string[];
  /** Digest of its manifest. */
  readonly digest: string;
  /** Digest of its configuration, by which CRI names it. */
  readonly id: string;
  /** Bytes of its layers. */
  readonly size: number;
};

/** Images as one archive in the OCI image layout, in which equal layers are there once. */
export class ImageArchive {
  readonly images: readonly PreparedImage[];
  readonly #blobs = new Map<string, Blob>();
  readonly #index: object;

  constructor(images: readonly Image[], layers: ReadonlyMap<Layer, BuiltLayer>) {
    const described = images.map((image) => this.#describe(image, layers));
    this.images = described.map(({ prepared }) => prepared);
    this.#index = {
      schemaVersion: 2,
      manifests: described.flatMap(({ prepared, manifest }) =>
        prepared.names.map((name) => ({
          mediaType: MEDIA_TYPE.manifest,
          digest: manifest.digest,
          size: manifest.size,
          annotations: { 'io.containerd.image.name': name },
        })),
      ),
    };
  }

  /** Writes the archive and ends the stream. */
  async write(to: Writable): Promise<void> {
    const archive = pack();
    const fill = async () => {
      await addFile(archive, { name: 'oci-layout' }, Buffer.from('{"imageLayoutVersion":"1.0.0"}'));
      await addFile(archive, { name: 'index.json' }, Buffer.from(JSON.stringify(this.#index)));
      for (const { digest, body } of this.#blobs.values())
        await addFile(archive, { name: `blobs/${digest.replace(':', '/')}` }, body);
      archive.finalize();
    };
    await Promise.all([pipeline(archive, to), fill()]);
  }

  #describe({ names, layer, config }: Image, layers: ReadonlyMap<Layer, BuiltLayer>) {
    const stack = stackOf(layer).map((each) => layers.get(each)!);
    const layerBlobs = stack.map(({ digest, size, file }) => this.#add({ digest, size, body: file }));
    const configBlob = this.#addJson({
      architecture: arch() === 'x64' ? 'amd64' : arch(),
      os: 'linux',
      config,
      rootfs: { type: 'layers', diff_ids: stack.map(({ digest }) => digest) },
    });
    const manifest = this.#addJson({
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.manifest,
      config: descriptor(MEDIA_TYPE.config, configBlob),
      layers: layerBlobs.map((blob) => descriptor(MEDIA_TYPE.layer, blob)),
    });
    const prepared: PreparedImage = {
      names: names.map(canonicalReference),
      digest: manifest.digest,
      id: configBlob.digest,
      size: stack.reduce((sum, { size }) => sum + size, 0),
    };
    return { prepared, manifest };
  }

  #addJson(value: object): Blob {
    const body = Buffer.from(JSON.stringify(value));
    const digest = `sha256:${createHash('sha256').update(body).digest('hex')}`;
    return this.#add({ digest, size: body.length, body });
  }

  #add(blob: Blob): Blob {
    this.#blobs.set(blob.digest, blob);
    return blob;
  }
}

function descriptor(mediaType: string, { digest, size }: Blob) {
  return { mediaType, digest, size };
}
