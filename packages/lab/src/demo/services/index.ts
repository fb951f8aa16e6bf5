/** The demo of load balancers: which client address arrives at a pod, on which way, and why. */
import { applyObjects } from '@enid/kube';
import type { Check } from '../check.ts';
import { type Exposed, exposed } from './exposed.ts';
import { nodesUnderLocal } from './nodes-under-local.ts';
import { pathCheck, type Sighting } from './path-check.ts';
import { BACKENDS, PATHS } from './paths.ts';

const IMAGE = 'registry.k8s.io/e2e-test-images/agnhost:2.53';

/** In this order: the first makes what the others look at, the last sums up what they saw. */
export function serviceChecks(): readonly Check[] {
  const sightings: Sighting[] = [];
  return [
    loadBalancers,
    ...PATHS.map((path) => pathCheck(path, sightings)),
    nodesUnderLocal,
    summary(sightings),
  ];
}

const loadBalancers: Check = {
  name: 'Services and an Ingress have load balancers with healthy targets',
  async run(demo) {
    const { client, pods, blue, evidence } = demo;
    const backend = (args: readonly string[]) => ({
      containers: [{ name: 'agnhost', image: IMAGE, args: ['netexec', ...args] }],
    });
    await pods.create(blue.record, BACKENDS.plain, backend([]));
    await pods.create(blue.record, BACKENDS.proxied, backend(['--proxy-protocol']));
    await applyObjects(
      client,
      PATHS.flatMap(({ objects }) => objects),
      'enid-demo',
    );
    await Promise.all(Object.values(BACKENDS).map((name) => pods.running(name)));
    const all: Exposed[] = [];
    for (const path of PATHS) all.push(await exposed(demo, path));
    evidence.show(
      'aws elbv2 describe-load-balancers',
      all.map(({ kind, dnsName }) => `${kind.padEnd(11)} ${dnsName}`),
    );
    evidence.expect(true, `${all.length} load balancers are active, and have healthy targets`);
  },
};

const summary = (sightings: readonly Sighting[]): Check => ({
  name: 'The client of a connection, as the pod sees it',
  async run({ evidence }) {
    const rows = [
      ['way to the pod', 'its packets come from', 'it takes for its client', 'by'],
      ...sightings.map(({ path, source, client }) => [path.title, source, client, path.told.by]),
    ];
    const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
    evidence.show(
      'a client on the internet asks',
      rows.map((row) =>
        row
          .map((cell, column) => cell.padEnd(widths[column]!))
          .join('  ')
          .trimEnd(),
      ),
    );
    const missing = PATHS.filter((path) => !sightings.some((sighting) => sighting.path === path));
    evidence.expect(
      missing.length === 0,
      `each of ${PATHS.length} ways was seen${missing.length > 0 ? `: not ${missing.map(({ title }) => title).join('; ')}` : ''}`,
    );
  },
});
