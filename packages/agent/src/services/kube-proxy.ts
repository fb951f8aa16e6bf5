/** Finds out whether another service proxy runs on a node. */
import { legacyChains, type NetNamespace, nftChains, Rtnetlink } from '@enid/linux';

/** The chain that all of kube-proxy's translations hang on, in iptables. */
const CHAIN = 'KUBE-SERVICES';
/** The link that has the Services' addresses where kube-proxy works by IPVS. */
const IPVS_LINK = 'kube-ipvs0';

/**
 * Whether kube-proxy has rules here: where it runs, the agent's proxy has to stay off. Whatever kube-proxy's mode is: its table of
 * nftables, its chains of iptables (those of iptables-nft and of iptables-legacy), its link of IPVS. Takes less than a millisecond.
 * @returns what was found, such as `table ip kube-proxy`.
 * @throws {NetlinkError} EPERM without CAP_NET_ADMIN.
 */
export function findKubeProxy(ns: NetNamespace): string | undefined {
  using rtnetlink = Rtnetlink.open(ns);
  if (rtnetlink.link(IPVS_LINK)) return `link ${IPVS_LINK}`;
  for (const family of [4, 6] as const) {
    if (!legacyChains(ns, family, 'nat').includes(CHAIN)) continue;
    return `chain ${CHAIN} of ${family === 4 ? 'iptables' : 'ip6tables'}-legacy, table nat`;
  }
  for (const { family, table, name } of nftChains(ns)) {
    if (table === 'kube-proxy') return `table ${family} kube-proxy`;
    if (name === CHAIN) return `chain ${CHAIN} of table ${family} ${table}`;
  }
  return undefined;
}
