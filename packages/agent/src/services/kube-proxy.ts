/** Finds out whether another service proxy runs on a node. */
import type { NetNamespace } from '@enid/linux';
import { run } from './run.ts';

type Chain = { readonly family: string; readonly table: string; readonly name: string };

/**
 * Whether kube-proxy has rules here: where it runs, the agent's proxy has to stay off. Its table of nftables is looked
 * for, and its chains of iptables as far as nftables shows them (iptables-nft).
 * @returns what was found, such as `table ip kube-proxy`.
 * @throws {ProgramError} when nft fails.
 */
export async function findKubeProxy(ns: NetNamespace): Promise<string | undefined> {
  let listing = '';
  await run(ns, ['nft', '-j', 'list', 'chains'], (line) => (listing += line));
  const { nftables } = JSON.parse(listing) as { nftables: { chain?: Chain }[] };
  for (const { chain } of nftables) {
    if (chain?.table === 'kube-proxy') return `table ${chain.family} kube-proxy`;
    if (chain?.name === 'KUBE-SERVICES') return `chain KUBE-SERVICES of table ${chain.family} ${chain.table}`;
  }
  return undefined;
}
