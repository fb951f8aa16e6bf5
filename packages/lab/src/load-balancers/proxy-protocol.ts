/** The PROXY protocol, version 2: https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt, section 2.2. */

/** What a header begins with. */
export const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
