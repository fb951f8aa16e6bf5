/** Where the agent listens, on unix sockets. */
import { dirname, join } from 'node:path';

export const CNI_SOCKET = '/var/run/aws-node/enid.sock';

/** Says where a socket is. @param cniSocket that of the CNI executable, beside which the others are. */
export type SocketPath = (env: NodeJS.ProcessEnv, cniSocket: string) => string;

/** For what root does by hand: ENID_CONTROL_SOCKET. */
export const controlSocket: SocketPath = (env, cniSocket) =>
  env.ENID_CONTROL_SOCKET?.trim() || join(dirname(cniSocket), 'enid-control.sock');

/** For Amazon's own executables: ENID_IPAMD_SOCKET. */
export const backendSocket: SocketPath = (env, cniSocket) =>
  env.ENID_IPAMD_SOCKET?.trim() || join(dirname(cniSocket), 'ipamd.sock');
