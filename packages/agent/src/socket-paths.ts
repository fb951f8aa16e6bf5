/** Where the agent listens: on unix sockets, and at an address that may be one. */
import { dirname, join } from 'node:path';

/** Where to listen: by TCP, or on a unix socket for root alone. */
export type BindAddress = { readonly host: string; readonly port: number } | { readonly path: string };

/** Reads INTROSPECTION_BIND_ADDRESS: `127.0.0.1:61679`, `[::1]:61679`, or `unix:` and a path. */
export function bindAddress(text: string): BindAddress | undefined {
  const [, path] = /^unix:(\/.+)$/.exec(text) ?? [];
  if (path !== undefined) return { path };
  const [, host, port] = /^\[?([^\]/]+?)\]?:(\d{1,5})$/.exec(text) ?? [];
  return host !== undefined && Number(port) <= 65535 ? { host, port: Number(port) } : undefined;
}

/** Where introspection is unless that is set. */
export const INTROSPECTION = { host: '127.0.0.1', port: 61_679 } as const;

export const CNI_SOCKET = '/var/run/aws-node/enid.sock';

/** Says where a socket is. @param cniSocket that of the CNI executable, beside which the others are. */
export type SocketPath = (env: NodeJS.ProcessEnv, cniSocket: string) => string;

/** For what root does by hand: ENID_CONTROL_SOCKET. */
export const controlSocket: SocketPath = (env, cniSocket) =>
  env.ENID_CONTROL_SOCKET?.trim() || join(dirname(cniSocket), 'enid-control.sock');

/** For Amazon's own executables: ENID_IPAMD_SOCKET. */
export const backendSocket: SocketPath = (env, cniSocket) =>
  env.ENID_IPAMD_SOCKET?.trim() || join(dirname(cniSocket), 'ipamd.sock');

/** Where they call Amazon's network policy agent, when its place is taken: ENID_NPA_SOCKET. */
export const policySocket: SocketPath = (env, cniSocket) =>
  env.ENID_NPA_SOCKET?.trim() || join(dirname(cniSocket), 'npa.sock');
