import { AddressError, type Ipv4Cidr, parseIpv4Cidr } from '@enid/ip';
import type { Named } from './annotations.ts';
import { InvalidObject } from './model/errors.ts';

/** Blocks of addresses, each once. @throws {InvalidObject} for what is no IPv4 block. */
export function readCidrs({ object, source, names }: Named): Ipv4Cidr[] {
  const cidrs = names.map((name) => {
    try {
      return parseIpv4Cidr(name);
    } catch (error) {
      if (!(error instanceof AddressError)) throw error;
      const reason = name.includes(':')
        ? 'the load balancer has IPv4 addresses alone'
        : 'it is not an IPv4 block such as 10.0.0.0/16';
      throw new InvalidObject(object, `${source} has "${name}": ${reason}`);
    }
  });
  return [...new Set(cidrs)];
}
