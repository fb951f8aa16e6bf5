import { ApiError } from '../status.ts';

/** How a client wants an answer. */
export type Format = {
  readonly yaml: boolean;
  /** The kind of `meta.k8s.io` to show objects as; undefined: as themselves. */
  readonly as: 'Table' | 'PartialObjectMetadata' | 'PartialObjectMetadataList' | undefined;
};

type Range = { type: string; parameters: Map<string, string>; quality: number };

const AS = new Set(['Table', 'PartialObjectMetadata', 'PartialObjectMetadataList']);

/** The media ranges of an Accept header, the most wanted first (RFC 9110). */
export function mediaRanges(accept: string | undefined): Range[] {
  return (accept?.trim() || '*/*')
    .split(',')
    .map((range) => {
      const [type, ...rest] = range.split(';').map((part) => part.trim());
      const parameters = new Map(rest.map((part) => part.split('=', 2) as [string, string]));
      return { type: type!.toLowerCase(), parameters, quality: Number(parameters.get('q') ?? 1) };
    })
    .sort((a, b) => b.quality - a.quality);
}

/** @throws {ApiError} NotAcceptable when the client takes neither JSON nor YAML. */
export function negotiate(accept: string | undefined): Format {
  for (const { type, parameters } of mediaRanges(accept)) {
    const yaml = type === 'application/yaml';
    if (!yaml && type !== 'application/json' && type !== 'application/*' && type !== '*/*') continue;
    const as = parameters.get('as');
    const group = parameters.get('g');
    if (as === undefined || (group === 'apidiscovery.k8s.io' && !AS.has(as))) return { yaml, as: undefined };
    if (AS.has(as) && group === 'meta.k8s.io') return { yaml, as: as as Format['as'] };
  }
  throw new ApiError(
    'NotAcceptable',
    'only the following media types are accepted: application/json, application/yaml',
  );
}
