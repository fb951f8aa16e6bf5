/** Kernel settings of the namespaces that forward packets: the VPCs, the NAT gateways, the internet. */
export const ROUTER_SYSCTLS: Readonly<Record<string, string>> = {
  'net.ipv4.ip_forward': '1',
  // Sources are checked by rules that count, and a NAT gateway forwards out of the interface a packet came by.
  'net.ipv4.conf.all.rp_filter': '0',
  'net.ipv4.conf.default.rp_filter': '0',
  'net.ipv4.conf.all.send_redirects': '0',
  'net.ipv4.conf.default.send_redirects': '0',
  'net.ipv6.conf.all.disable_ipv6': '1',
  'net.ipv6.conf.default.disable_ipv6': '1',
};

/** Of those that track connections: AWS does not look at TCP windows, and forgets a UDP stream after 180 s. */
export const CONNTRACK_SYSCTLS: Readonly<Record<string, string>> = {
  'net.netfilter.nf_conntrack_tcp_be_liberal': '1',
  'net.netfilter.nf_conntrack_udp_timeout_stream': '180',
};
