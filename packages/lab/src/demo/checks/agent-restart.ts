import { until } from '../../base/until.ts';
import type { Check } from '../check.ts';

const PINGS = 200;

export const agentRestart: Check = {
  name: 'An agent that is killed loses no packet and no pod',
  async run({ lab, red, pods, evidence }) {
    const { name } = red.record;
    const before = red.agentPid!;
    const { address } = await pods.find('blue-1');
    const talk = ['red-1', 'red-6'].map((source) =>
      lab.run(source, ['ping', '-i', '0.02', '-c', String(PINGS), '-W', '2', address]),
    );
    process.kill(before, 'SIGKILL');
    const after = await until(
      () => red.agentPid,
      (pid) => pid !== undefined && pid !== before,
      `the kubelet of ${name} to start the agent again`,
    );
    const results = await Promise.all(talk);
    evidence.expect(
      true,
      `the agent of ${name} (pid ${before}) got SIGKILL and the kubelet started it again (pid ${after})`,
    );
    for (const { stdout } of results) evidence.show('meanwhile', stdout.trimEnd().split('\n').slice(-3));
    evidence.expect(
      results.every(({ stdout }) =>
        stdout.includes(`${PINGS} packets transmitted, ${PINGS} received, 0% packet loss`),
      ),
      `not one of ${results.length} x ${PINGS} pings was lost`,
    );

    const mine = (await pods.list()).filter((pod) => pod.node === red.record.dnsName);
    const missing = await until(
      async () => {
        const { stdout } = await lab.run(name, ['curl', '-sS', 'http://127.0.0.1:61679/v1/pods']);
        return mine.filter(
          (pod) => !stdout.includes(`"${pod.address}"`) || !stdout.includes(`"${pod.name}"`),
        );
      },
      (left) => left.length === 0,
      'the new agent to know every pod',
    );
    evidence.expect(
      missing.length === 0 && mine.length > 0,
      `the new agent knows every one of the ${mine.length} pods`,
    );
  },
};
