import { networkInterfaces } from 'node:os';
import type { Upstream } from './forward.ts';

/** What a Corefile may change. */
export type Settings = {
  readonly zone: string;
  readonly ttl: number;
  /** Where questions about other names go: servers, or a file in the manner of resolv.conf. */
  readonly forward: readonly string[];
};

const DEFAULTS: Settings = { zone: 'cluster.local', ttl: 5, forward: ['/etc/resolv.conf'] };

/** Reads the few directives of a Corefile that this server knows: `kubernetes ZONE { ttl N }` and `forward . TO...`. */
export function parseCorefile(text: string): Settings {
  const lines = text.split('\n').map((line) => line.replace(/#.*/, '').trim().split(/\s+/));
  const kubernetes = lines.findIndex(([word]) => word === 'kubernetes');
  const forward = lines.find(([word, from]) => word === 'forward' && from === '.')?.slice(2);
  const zone = lines[kubernetes]
    ?.slice(1)
    .find((word) => /^[a-z0-9.-]+$/.test(word) && !word.endsWith('.arpa'));
  const blockEnd = lines.findIndex(([word], index) => index > kubernetes && word === '}');
  const ttl = lines.slice(kubernetes, blockEnd).find(([word]) => word === 'ttl')?.[1];
  return {
    zone: zone?.replace(/\.$/, '') ?? DEFAULTS.zone,
    ttl: kubernetes >= 0 && ttl ? Number(ttl) : DEFAULTS.ttl,
    forward: forward?.filter((word) => word !== '{') ?? DEFAULTS.forward,
  };
}

/** The servers that a resolv.conf names. */
export function parseResolvConf(text: string): string[] {
  return text.split('\n').flatMap((line) => line.match(/^\s*nameserver\s+(\S+)/)?.[1] ?? []);
}

/** Servers by `address` or `address:port`. IPv6 and this machine itself are left out: asking oneself has no end. */
export function upstreamsOf(servers: readonly string[], port: number, own = ownAddresses()): Upstream[] {
  return servers.flatMap((server) => {
    const [address = '', otherPort] = server.replace(/^dns:\/\//, '').split(':');
    if (!/^\d+\.\d+\.\d+\.\d+$/.test(address)) return [];
    const upstream = { address, port: otherPort === undefined ? 53 : Number(otherPort) };
    return upstream.port === port && own.has(address) ? [] : [upstream];
  });
}

function ownAddresses(): Set<string> {
  const interfaces = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return new Set(interfaces.map(({ address }) => address));
}
