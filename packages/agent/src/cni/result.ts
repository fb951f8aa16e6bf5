/** Results of ADD in the shape of each version of the CNI specification. */
import type { Ipv4 } from '@enid/ip';
import { atLeast, type CniVersion } from './version.ts';

/** What other plugins put into the entries is passed on as it is. */
type Extra = { readonly [key: string]: unknown };

export type CniInterface = Extra & {
  readonly name: string;
  readonly mac?: string;
  readonly mtu?: number;
  /** Path of the namespace; absent for an interface of the host. */
  readonly sandbox?: string;
};

export type CniIp = Extra & {
  /** `10.0.1.5/32` */
  readonly address: string;
  readonly gateway?: string;
  /** Index into `interfaces`. */
  readonly interface?: number;
};

export type CniResult = Extra & {
  readonly interfaces?: readonly CniInterface[];
  readonly ips?: readonly CniIp[];
  readonly routes?: readonly (Extra & { readonly dst: string; readonly gw?: string })[];
  readonly dns?: object;
};

/** One wired pod, as its result tells of it. */
export type Attachment = {
  readonly host: { readonly name: string; readonly mac: string };
  readonly container: { readonly name: string; readonly mac: string; readonly sandbox: string };
  readonly mtu: number;
  readonly address: Ipv4;
  readonly gateway: Ipv4;
};

/**
 * The result of ADD: what earlier plugins of the chain made, then ours.
 * @param version decides on the fields: `ips[].version` until 0.4.0, `interfaces[].mtu` since 1.1.0.
 */
export function makeResult(
  version: CniVersion,
  { host, container, mtu, address, gateway }: Attachment,
  previous: CniResult = {},
  dns: object = {},
): CniResult {
  const before = previous.interfaces ?? [];
  const size = atLeast(version, '1.1.0') ? { mtu } : {};
  const family = atLeast(version, '1.0.0') ? {} : { version: '4' };
  return {
    ...previous,
    cniVersion: version,
    interfaces: [...before, { ...host, ...size }, { ...container, ...size }],
    ips: [
      ...(previous.ips ?? []),
      { ...family, address: `${address}/32`, gateway, interface: before.length + 1 },
    ],
    routes: [...(previous.routes ?? []), { dst: '0.0.0.0/0', gw: gateway }],
    dns: previous.dns ?? dns,
  };
}

/**
 * What a result of an earlier ADD says of one attachment.
 * @returns the addresses on the interface `ifName` of the sandbox, as `10.0.1.5/32`; undefined when the result knows no such interface.
 */
export function addressesOn(result: CniResult, ifName: string, sandbox: string): string[] | undefined {
  const at = (result.interfaces ?? []).findIndex((link) => link.name === ifName && link.sandbox === sandbox);
  if (at < 0) return undefined;
  return (result.ips ?? []).filter((ip) => ip.interface === at).map((ip) => ip.address);
}
