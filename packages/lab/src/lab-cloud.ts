import { pino } from 'pino';
import { LabDirectory } from './base/directory.ts';
import { Cloud } from './cloud/cloud.ts';
import { Fabric } from './fabric/index.ts';
import { InternetServer } from './internet/server.ts';
import { CREDENTIALS } from './lab/credentials.ts';
import { LoadBalancers } from './load-balancers/index.ts';

/** What the cloud's process tells the one that started it. */
export type CloudReady = { readonly ec2Endpoint: string; readonly region: string };

/** Where it is written, so that a process that goes on answers at the same endpoint. */
const READY = 'endpoint.json';

/** Delays as a user of EC2 knows them, but short enough to wait for. */
const SETTINGS = {
  attachDelayMs: 500,
  metadataLagMs: 200,
  loadBalancerDelayMs: 500,
  loadBalancerReleaseDelayMs: 1000,
  certificateDelayMs: 500,
};

/**
 * The process behind a lab: AWS APIs, the VPCs' data plane, and the internet's server. It logs to stdout, and goes on
 * with the lab's account where an earlier process stopped. Resolves at SIGTERM; the network stays in force.
 */
export async function runLabCloud(lab: string): Promise<void> {
  const directory = new LabDirectory(lab);
  const log = pino();
  const before = directory.read<CloudReady>(READY);
  const fabric = new Fabric({ prefix: directory.prefix });
  const loadBalancers: LoadBalancers = new LoadBalancers({
    prefix: directory.prefix,
    directory: directory.loadBalancers,
    report: (report) => cloud.reportHealth([report]),
  });
  const cloud: Cloud = new Cloud({
    fabric,
    loadBalancers,
    credentials: CREDENTIALS,
    stateDir: directory.path,
    seed: lab,
    settings: SETTINGS,
    ...(before && { port: Number(new URL(before.ec2Endpoint).port) }),
    log,
  });
  await cloud.start();
  const internet = await InternetServer.start(fabric.internetNamespace()!, (name) => cloud.resolve(name));
  const ready: CloudReady = { ec2Endpoint: cloud.endpoint, region: cloud.state.region };
  directory.write(ready, READY);
  log.info(ready, 'the lab is up');
  process.send?.(ready);
  await new Promise((resolve) => process.once('SIGTERM', resolve).once('SIGINT', resolve));
  loadBalancers[Symbol.dispose]();
  await internet.close();
  await cloud.stop();
  fabric.close();
}
