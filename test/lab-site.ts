import { spawn } from 'node:child_process';
import { Lab } from '@enid/lab';
import { NetNamespace } from '@enid/linux';
import { host } from '../packages/cli/src/host.ts';
import { collect } from '../packages/lab/src/base/output.ts';
import { serviceNamespaceName } from '../packages/lab/src/fabric/names.ts';
import { INTERNET_CLIENT } from '../packages/lab/src/internet/addresses.ts';
import { CREDENTIALS } from '../packages/lab/src/lab/credentials.ts';
import { run } from './enid.ts';
import type { Site } from './site.ts';
import { Stations } from './stations.ts';

/** A lab that is up, asked from its internet. */
export async function labSite(name: string, namespace: string): Promise<Site> {
  const lab = Lab.open(name, host);
  const stations = new Stations(lab.cluster!.kubeconfigFile);
  await stations.namespace(namespace);
  return {
    stations,
    namespace,
    aws: { endpoint: lab.record.ec2Endpoint, region: lab.record.region, credentials: CREDENTIALS },
    address: INTERNET_CLIENT,
    scheme: 'internet-facing',
    patience: 30_000,
    run: async (...command) => (await lab.run('internet', command)).stdout,
    async metrics() {
      using ns = NetNamespace.named(serviceNamespaceName(lab.directory.prefix, 'eks'));
      const curl = ['-sS', 'http://127.0.0.1:8080/metrics'];
      return (await collect(ns.run(() => spawn('curl', curl, { stdio: 'pipe' })))).stdout;
    },
    async [Symbol.asyncDispose]() {
      stations[Symbol.dispose]();
      await run('lab', 'down', '--name', name);
    },
  };
}
