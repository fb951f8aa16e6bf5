/** With externalTrafficPolicy Local only nodes that have a pod of the Service are healthy. */
import type { Service } from '@enid/kube';
import { until } from '../../base/until.ts';
import type { Check } from '../check.ts';
import { exposed, PACE, targetHealth } from './exposed.ts';
import { PATHS, UNDER_LOCAL } from './paths.ts';

/** Two health checks that fail, 10 s apart, and what comes before them. */
const PATIENCE = 40_000;

export const nodesUnderLocal: Check = {
  name: 'externalTrafficPolicy Local: healthy is the node that has a pod, and no other',
  async run(demo) {
    const { lab, red, blue, client, evidence } = demo;
    const { targetGroupArn } = await exposed(demo, PATHS.find(({ service }) => service === UNDER_LOCAL)!);
    const { spec } = await client.get<Service>(`/api/v1/namespaces/default/services/${UNDER_LOCAL}`);
    const port = spec!.healthCheckNodePort!;
    const state = (targets: Awaited<ReturnType<typeof targetHealth>>, id: string) =>
      targets.find(({ Target }) => Target?.Id === id)?.TargetHealth;
    const targets = await until(
      () => targetHealth(demo, targetGroupArn),
      (all) => state(all, red.record.instanceId)?.State === 'unhealthy',
      `${red.record.name} to be unhealthy`,
      PATIENCE,
      PACE,
    );
    for (const { record } of [red, blue]) {
      const url = `http://${record.address}:${port}/healthz`;
      const { stdout } = await lab.run(record.name, [
        'curl',
        '-sS',
        '--max-time',
        '5',
        '-w',
        ' %{http_code}',
        url,
      ]);
      evidence.show(`${record.name}# curl ${url}`, stdout.replaceAll(/\s+/g, ' '));
      const { State, Reason, Description } = state(targets, record.instanceId) ?? {};
      evidence.show(
        'aws elbv2 describe-target-health',
        [State, Reason, Description].filter(Boolean).join(', '),
      );
    }
    const [bare, full] = [red, blue].map(({ record }) => state(targets, record.instanceId)?.State);
    evidence.expect(full === 'healthy', `${blue.record.name}, where the pod is, is healthy`);
    evidence.expect(bare === 'unhealthy', `${red.record.name}, which has none, is not`);
  },
};
