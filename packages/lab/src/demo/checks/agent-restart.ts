import type { LabNode } from '../../lab/node.ts';
import type { Check } from '../check.ts';

const PINGS = 200;

export const agentRestart: Check = {
  name: 'An agent that is killed loses no packet and no pod',
  async run({ lab, evidence }) {
    const red = lab.nodes[0] as LabNode;
    const before = red.agentPid!;
    const talk = ['red-1', 'red-6'].map((source) =>
      lab.run(source, [
        'ping',
        '-i',
        '0.02',
        '-c',
        String(PINGS),
        '-W',
        '2',
        lab.pods.find('blue-1')!.address,
      ]),
    );
    await red.stopAgent('SIGKILL');
    const killed = red.agentPid === undefined;
    await red.startAgent();
    const after = red.agentPid!;
    const results = await Promise.all(talk);
    evidence.expect(
      killed && after !== before,
      `the agent of ${red.name} (pid ${before}) got SIGKILL and was started again (pid ${after})`,
    );
    for (const { stdout } of results) evidence.show('meanwhile', stdout.trimEnd().split('\n').slice(-3));
    evidence.expect(
      results.every(({ stdout }) =>
        stdout.includes(`${PINGS} packets transmitted, ${PINGS} received, 0% packet loss`),
      ),
      `not one of ${results.length} x ${PINGS} pings was lost`,
    );

    const answer = await lab.run(red.name, ['curl', '-sS', 'http://127.0.0.1:61679/v1/pods']);
    const pods = lab.pods.list().filter((pod) => pod.node === red.name);
    const missing = pods.filter(
      (pod) => !answer.stdout.includes(`"${pod.address}"`) || !answer.stdout.includes(`"${pod.name}"`),
    );
    evidence.expect(
      missing.length === 0 && pods.length > 0,
      `the new agent knows every one of the ${pods.length} pods${missing.length ? `, but for ${missing.map((p) => p.name)}` : ''}`,
    );
  },
};
