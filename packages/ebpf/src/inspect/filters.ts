import { type BpfFilter, type NetNamespace, Rtnetlink } from '@enid/linux';

/** A program's attachment to a network interface by the clsact qdisc, which is no link of eBPF: the interface holds it, and nobody else. */
export type FilterInfo = Omit<BpfFilter, 'index'> & {
  readonly type: 'clsact';
  readonly ifindex: number;
  readonly interface: string;
};

/** All of the interfaces of a network namespace, the calling thread's by default. */
export function listFilters(ns?: NetNamespace): FilterInfo[] {
  using rtnetlink = Rtnetlink.open(ns);
  const names = new Map(rtnetlink.links().map(({ index, name }) => [index, name]));
  const qdiscs = rtnetlink.qdiscs().filter(({ kind }) => kind === 'clsact');
  return qdiscs
    .flatMap(({ index }) => rtnetlink.bpfFilters(index))
    .map(({ index, ...filter }) => ({
      ...{ type: 'clsact', ifindex: index, interface: names.get(index) ?? '' },
      ...filter,
    }));
}
