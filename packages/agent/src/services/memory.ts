/** Which clients are remembered with which endpoints, in the kernel: see {@link affinityMaps}. */
import { fromBytes } from '@enid/ip';
import { type NetNamespace, nftElements } from '@enid/linux';
import { affinityMaps, type Family, TABLE } from './layout.ts';
import { concat } from './objects.ts';

export type Remembered = {
  readonly client: string;
  readonly address: string;
  readonly port: number;
  /** Address and port, as maps of endpoints have them. */
  readonly endpoint: string;
};

/** @returns who is remembered at the moment; nobody where there is no such memory. */
export function readMemory(ns: NetNamespace, family: Family, memory: string): Remembered[] {
  const [addresses, ports] = affinityMaps(memory).map(
    (map) => nftElements({ family, table: TABLE, map }, ns) ?? [],
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

/** Commands that forget clients. They are refused, and all with them, when one of these has been given another endpoint meanwhile. */
export function forgetScript(family: Family, memory: string, clients: readonly Remembered[]): string {
  if (clients.length === 0) return '';
  const [addresses, ports] = affinityMaps(memory);
  const forget = (map: string, value: (client: Remembered) => string | number) => [
    // Added first, since one that has run out meanwhile could not be deleted, nor could then the others.
    `add element ${family} ${TABLE} ${map} { ${clients.map((one) => `${one.client} : ${value(one)}`).join(', ')} }`,
    `delete element ${family} ${TABLE} ${map} { ${clients.map(({ client }) => client).join(', ')} }`,
  ];
  const commands = [...forget(addresses, ({ address }) => address), ...forget(ports, ({ port }) => port)];
  return `${commands.join('\n')}\n`;
}
