import { connect } from 'node:net';
import type { CriClient } from '../cri/client.ts';
import { type Container, type Probe, portOf } from '../pod.ts';
import { grpcHealth } from './grpc-health.ts';
import { httpGet, reasonOf } from './http-get.ts';

export type Outcome = { readonly success: boolean; readonly output: string };

/** Whom a probe asks. */
export type Probed = { readonly container: Container; readonly containerId: string; readonly podIP: string };

/** Probes once. What goes wrong is the outcome. */
export async function probeOnce(probe: Probe, probed: Probed, client: CriClient): Promise<Outcome> {
  const timeout = (probe.timeoutSeconds ?? 1) * 1000;
  try {
    if (probe.httpGet) {
      const { status, body } = await httpGet(probe.httpGet, probed.container, probed.podIP, timeout);
      if (status >= 200 && status < 400) return { success: true, output: body };
      return { success: false, output: `HTTP probe failed with statuscode: ${status}` };
    }
    if (probe.tcpSocket) {
      const { host, port } = probe.tcpSocket;
      await dial(host || probed.podIP, portOf(probed.container, port), timeout);
      return { success: true, output: '' };
    }
    if (probe.grpc) {
      const { port, service } = probe.grpc;
      const status = await grpcHealth(`${probed.podIP}:${port}`, service ?? '', timeout);
      return { success: status === 'SERVING', output: `service unhealthy (responded with "${status}")` };
    }
    if (probe.exec) {
      const { command = [] } = probe.exec;
      const { exitCode, stdout, stderr } = await client.execSync(probed.containerId, command, timeout / 1000);
      return { success: exitCode === 0, output: `${stdout}${stderr}` };
    }
    return { success: true, output: '' };
  } catch (error) {
    return { success: false, output: (error as Error).message };
  }
}

function dial(host: string, port: number, timeout: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(timeout);
    const socket = connect({ host, port, signal });
    socket.on('connect', () => {
      socket.destroy();
      resolve();
    });
    socket.on('error', (error) => {
      const timedOut = `dial tcp ${host}:${port}: i/o timeout`;
      reject(new Error(signal.aborted ? timedOut : reasonOf(error, signal, `${host}:${port}`)));
    });
  });
}
