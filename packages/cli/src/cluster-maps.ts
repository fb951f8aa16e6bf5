import type { AddressMap } from '@enid/agent';
import { ClusterAgents } from './cluster-agents.ts';

/**
 * What reads the address maps of a cluster's nodes, each of its own agent.
 * @param nodes names; every node that runs an agent when absent.
 * @throws when no cluster is named, or an agent cannot be asked.
 */
export function clusterMaps(
  nodes: readonly string[] | undefined,
  env: NodeJS.ProcessEnv = process.env,
): () => Promise<AddressMap[]> {
  return async () => {
    using agents = new ClusterAgents(env);
    const wanted = nodes ?? (await agents.nodes());
    const texts = wanted.map((node) => agents.run(node, ['enid', 'ips', '--json']));
    return (await Promise.all(texts)).map((text) => JSON.parse(text) as AddressMap);
  };
}
