import type { Ipv4 } from '@enid/ip';

// TEST-NET-2 of RFC 5737: addresses of documentation, so nobody's.

/** The internet's server: HTTP on port 80, echo (RFC 862) on port 7. */
export const INTERNET_SERVER = '198.51.100.10' as Ipv4;
/** The internet's client: what connections made from the internet's namespace come from. */
export const INTERNET_CLIENT = '198.51.100.20' as Ipv4;
