/** Finds out whether another service proxy runs on a node: what one of two translates, the other would miss. */
import { legacyChains, type NetNamespace, nftChains, nftGeneration, Rtnetlink } from '@enid/linux';
import { systemClock } from '../clock.ts';

/** The chain that all of kube-proxy's translations hang on, in iptables. */
const CHAIN = 'KUBE-SERVICES';
/** The link that has the Services' addresses where kube-proxy works by IPVS. */
const IPVS_LINK = 'kube-ipvs0';
/** How often its rules are looked for, in milliseconds. */
const INTERVAL = 500;
const ATTEMPTS = 20;

/**
 * Waits until kube-proxy has no rules on the node, or the signal comes.
 * @param onFound told once of what it has.
 */
export async function kubeProxyGone(
  ns: NetNamespace,
  signal: AbortSignal,
  onFound: (found: string) => Promise<void>,
): Promise<void> {
  const find = lookout(ns);
  for (let told = false; !signal.aborted; told = true) {
    const found = find();
    if (found === undefined) return;
    if (!told) await onFound(found);
    await pause(signal);
  }
}

/** Waits until kube-proxy has had rules on the node for a while, as it makes chains before it fills them, or the signal comes. */
export async function kubeProxyFound(ns: NetNamespace, signal: AbortSignal): Promise<void> {
  const find = lookout(ns);
  for (let looks = 0; looks < 2 && !signal.aborted; ) {
    await pause(signal);
    looks = find() === undefined ? 0 : looks + 1;
  }
}

/** Ends early when the signal comes. */
async function pause(signal: AbortSignal): Promise<void> {
  await systemClock.sleep(INTERVAL, signal).catch(() => {});
}

/**
 * Whether kube-proxy has rules here, whatever its mode is: its table of nftables, its chains of iptables (those
 * of iptables-nft and of iptables-legacy), its link of IPVS.
 * @returns what was found, such as `table ip kube-proxy`.
 * @throws {SyscallError} EPERM without CAP_NET_ADMIN.
 */
export function findKubeProxy(ns: NetNamespace): string | undefined {
  return lookout(ns)();
}

/** {@link findKubeProxy} again and again: the chains of nftables, which may be thousands, are read only when they may have changed. */
function lookout(ns: NetNamespace): () => string | undefined {
  let generation: number | undefined;
  let found: string | undefined;
  return () => {
    const elsewhere = outsideNftables(ns);
    if (elsewhere !== undefined) return elsewhere;
    const now = nftGeneration(ns);
    if (now !== generation) found = inNftables(ns);
    generation = now;
    return found;
  };
}

function outsideNftables(ns: NetNamespace): string | undefined {
  using rtnetlink = Rtnetlink.open(ns);
  if (rtnetlink.link(IPVS_LINK)) return `link ${IPVS_LINK}`;
  for (const family of [4, 6] as const) {
    if (!natChains(ns, family).includes(CHAIN)) continue;
    return `chain ${CHAIN} of ${family === 4 ? 'iptables' : 'ip6tables'}-legacy, table nat`;
  }
  return undefined;
}

function inNftables(ns: NetNamespace): string | undefined {
  for (const { family, table, name } of nftChains(ns)) {
    if (table === 'kube-proxy') return `table ${family} kube-proxy`;
    if (name === CHAIN) return `chain ${CHAIN} of table ${family} ${table}`;
  }
  return undefined;
}

/** Those of iptables-legacy. The kernel tells none while they are being changed: then they are asked for again. */
function natChains(ns: NetNamespace, family: 4 | 6): string[] {
  for (let attempt = 1; ; attempt++) {
    try {
      return legacyChains(ns, family, 'nat');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || attempt === ATTEMPTS) throw error;
    }
  }
}
