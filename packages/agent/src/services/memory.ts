/** Which clients are remembered with which endpoints, in the kernel: see {@link affinityMaps}. */
import { fromBytes, type Ip } from '@enid/ip';
import { type NetfilterPlace, nftElements } from '@enid/linux';
import { affinityMaps, type Family, TABLE } from './layout.ts';
import { concat } from './objects.ts';

export type Remembered = {
  readonly client: Ip;
  readonly address: Ip;
  readonly port: number;
  /** Address and port, as maps of endpoints have them. */
  readonly endpoint: string;
};

/** Clients of one memory that are to be forgotten. */
export type Forgotten = {
  readonly family: Family;
  readonly memory: string;
  readonly clients: readonly Remembered[];
};

/** @returns who is remembered at the moment; nobody where there is no such memory. */
export function readMemory(place: NetfilterPlace, family: Family, memory: string): Remembered[] {
  const [addresses, ports] = affinityMaps(memory).map(
    (map) => nftElements({ family, table: TABLE, map }, place) ?? [],
  ) as [ReturnType<typeof nftElements> & {}, ReturnType<typeof nftElements> & {}];
  const portOf = new Map(
    ports.map(({ key, value }) => [fromBytes(key), new DataView(value.buffer).getUint16(0)]),
  );
  return addresses.flatMap(({ key, value }) => {
    const [client, address] = [fromBytes(key), fromBytes(value)];
    const port = portOf.get(client);
    return port === undefined ? [] : { client, address, port, endpoint: concat(address, port) };
  });
}
