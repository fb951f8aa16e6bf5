import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { Ipv4 } from '@enid/ip';
import { listenTcp, type NetNamespace } from '@enid/linux';
import { AWS_ENDPOINT_ADDRESS, IMDS_ADDRESS } from '../fabric/names.ts';
import type { NetworkFabric } from './fabric.ts';
import type { CloudState } from './state.ts';

/** Where nodes find EC2. */
export const NODE_EC2_PORT = 4566;
export const NODE_EC2_ENDPOINT = `http://${AWS_ENDPOINT_ADDRESS}:${NODE_EC2_PORT}`;

type Listener = (vpcId: string) => RequestListener;

/**
 * The AWS endpoints inside the VPCs. Each VPC has its own, in its namespace: the same address may be a different
 * instance in another VPC.
 */
export class NodeEndpoints {
  readonly #fabric: NetworkFabric;
  readonly #ec2: Listener;
  readonly #metadata: Listener;
  readonly #servers = new Map<string, Server[]>();

  constructor(fabric: NetworkFabric, { ec2, metadata }: { ec2: Listener; metadata: Listener }) {
    this.#fabric = fabric;
    this.#ec2 = ec2;
    this.#metadata = metadata;
  }

  /**
   * Opens the endpoints of VPCs that are new, and closes those of VPCs that are gone.
   * @throws {SyscallError} when the namespace of a VPC has not the addresses.
   */
  async sync(state: CloudState): Promise<void> {
    for (const vpcId of this.#servers.keys()) if (!state.vpcs[vpcId]) this.#close(vpcId);
    for (const vpcId of Object.keys(state.vpcs)) {
      const ns = this.#fabric.vpcNamespace(vpcId);
      if (this.#servers.has(vpcId) || !ns) continue;
      const servers: Server[] = [];
      this.#servers.set(vpcId, servers);
      try {
        servers.push(await serve(ns, AWS_ENDPOINT_ADDRESS, NODE_EC2_PORT, this.#ec2(vpcId)));
        servers.push(await serve(ns, IMDS_ADDRESS, 80, this.#metadata(vpcId)));
      } catch (error) {
        this.#close(vpcId);
        throw error;
      }
    }
  }

  close(): void {
    for (const vpcId of [...this.#servers.keys()]) this.#close(vpcId);
  }

  #close(vpcId: string): void {
    for (const server of this.#servers.get(vpcId) ?? []) {
      server.close();
      server.closeAllConnections();
    }
    this.#servers.delete(vpcId);
  }
}

async function serve(
  ns: NetNamespace,
  address: Ipv4,
  port: number,
  listener: RequestListener,
): Promise<Server> {
  const server = createServer(listener);
  server.listen({ fd: listenTcp(ns, address, port) });
  await once(server, 'listening');
  return server;
}
