/** Custom networking: where the ENIs of a node are, when that is not where its primary one is. */

/** What an ENIConfig says. */
export type EniConfig = {
  readonly name: string;
  readonly subnetId: string;
  /** None: those of the primary ENI. */
  readonly securityGroups: readonly string[];
};

/** The ENIConfig of this node, wherever it is kept. */
export interface EniConfigSource {
  /**
   * As it is now.
   * @throws {EniConfigError} when there is none.
   */
  configFor(): Promise<EniConfig>;
  /** Calls the handler whenever it may have become another. @returns what ends that. */
  onChange(handler: () => void): () => void;
}

/** There is no ENIConfig. The message says which, why that one, and what to do. */
export class EniConfigError extends Error {
  override readonly name = 'EniConfigError';
}

/** The ENIConfig of a node that names none, as with Amazon. */
const DEFAULT = 'default';

/** Which of the node's annotations and labels name its ENIConfig. */
export type EniConfigKeys = { readonly annotation: string; readonly label: string };

type NodeMeta = {
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
};

/** The name of a node's ENIConfig: by its annotation, else by its label, else `default`; and which it was. */
export function eniConfigName(
  { annotations, labels }: NodeMeta,
  keys: EniConfigKeys,
): { readonly name: string; readonly by: string } {
  const byAnnotation = annotations?.[keys.annotation];
  if (byAnnotation) return { name: byAnnotation, by: `the annotation ${keys.annotation}` };
  const byLabel = labels?.[keys.label];
  if (byLabel) return { name: byLabel, by: `the label ${keys.label}` };
  return { name: DEFAULT, by: `no annotation ${keys.annotation} and no label ${keys.label}` };
}
