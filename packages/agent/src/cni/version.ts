/** Versions of the CNI specification that are spoken, oldest first. */
export const supportedVersions = ['0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;
export type CniVersion = (typeof supportedVersions)[number];
export const newestVersion: CniVersion = '1.1.0';

/** True when version `a` is at least `b`. */
export function atLeast(a: CniVersion, b: CniVersion): boolean {
  return supportedVersions.indexOf(a) >= supportedVersions.indexOf(b);
}
