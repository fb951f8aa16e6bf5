/** The ways to change an object by a part of it. */
export { type Application, applyPatch, trackUpdate, type Update } from './apply/apply.ts';
export { isEqual } from './equal.ts';
export { jsonPatch } from './json-patch.ts';
export { mergePatch } from './merge-patch.ts';
export { strategicMergePatch } from './strategic-merge-patch.ts';
