/** The lab's container images, composed on this machine. */
export { SANDBOX_IMAGE } from './catalog.ts';
export type { PreparedImage } from './oci.ts';
export { ensureImages, type ImageOptions, type PreparedImages } from './prepare.ts';
export { canonicalReference } from './reference.ts';
