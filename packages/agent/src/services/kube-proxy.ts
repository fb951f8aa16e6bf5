/** Finds out whether another service proxy runs on a node. */
import { legacyChains, type NetNamespace, Rtnetlink } from '@enid/linux';
import { run } from './run.ts';

type Chain = { readonly family: string; readonly table: string; readonly name: string };

/** The chain that all of kube-proxy's translations hang on, in iptables. */
const CHAIN = 'KUBE-SERVICES';
/** The link that has the Services' addresses where kube-proxy works by IPVS. */
const IPVS_LINK = 'kube-ipvs0';

/**
 * Whether kube-proxy has rules here: where it runs, the agent's proxy has to stay off. Whatever kube-proxy's mode is: its table of
 * nftables, its chains of iptables (those of iptables-nft and of iptables-legacy), its link of IPVS.
 * @returns what was found, such as `table ip kube-proxy`.
 * @throws {ProgramError} when nft fails.
 */
export async function findKubeProxy(ns: NetNamespace): Promise<string | undefined> {
  using rtnetlink = Rtnetlink.open(ns);
  if (rtnetlink.link(IPVS_LINK)) return `link ${IPVS_LINK}`;
  for (const family of [4, 6] as const) {
    if (!legacyChains(ns, family, 'nat').includes(CHAIN)) continue;
    return `chain ${CHAIN} of ${family === 4 ? 'iptables' : 'ip6tables'}-legacy, table nat`;
  }
  let listing = '';
  await run(ns, ['nft', '-j', 'list', 'chains'], (line) => (listing += line));
  const { nftables } = JSON.parse(listing) as { nftables: { chain?: Chain }[] };
  for (const { chain } of nftables) {
    if (chain?.table === 'kube-proxy') return `table ${chain.family} kube-proxy`;
    if (chain?.name === CHAIN) return `chain ${CHAIN} of table ${chain.family} ${chain.table}`;
  }
  return undefined;
}
