/** The ways to change an object by a part of it. */
export { applyPatch, trackUpdate } from './apply/apply.ts';
export { jsonPatch } from './json-patch.ts';
export { mergePatch } from './merge-patch.ts';
export { strategicMergePatch } from './strategic-merge-patch.ts';
