import { setTimeout as sleep } from 'node:timers/promises';
import { maxPods } from '@enid/ipam';
import { CniError } from '../../lab/cni-runtime.ts';
import type { LabNode } from '../../lab/node.ts';
import { type Check, COOLDOWN_SECONDS } from '../check.ts';

const HOST_NETWORK_PODS = 2;

export const podLimit: Check = {
  name: 'A full node refuses the next pod and says why',
  async run({ lab, evidence }) {
    const red = lab.nodes[0] as LabNode;
    const limit = maxPods('t3.medium');
    const count = () => lab.pods.list().filter((pod) => pod.node === red.name).length;
    for (let n = count() + 1; n <= limit - HOST_NETWORK_PODS; n++) await lab.pods.add(red, `red-${n}`);
    const used = lab.pods.list().filter((pod) => pod.node === red.name);
    evidence.show(`pods of ${red.name}`, [used.map((pod) => pod.address).join(' ')]);
    evidence.expect(
      used.length === 15 && new Set(used.map((pod) => pod.address)).size === 15 && limit === 17,
      `15 pods with 15 addresses and ${HOST_NETWORK_PODS} host-network agents fill a t3.medium: 17 = 3 x (6 - 1) + 2`,
    );

    const refusal = async () => {
      const error = await lab.pods.add(red, 'red-16').then(
        () => undefined,
        (error: unknown) => error,
      );
      return error instanceof CniError ? error : undefined;
    };
    const full = await refusal();
    evidence.expect(full !== undefined, 'the sixteenth pod is refused');
    evidence.show('what the runtime is told', full!.message);
    evidence.expect(
      /t3\.medium/.test(full!.message) && /15/.test(full!.message),
      'the error names the limit that was hit',
    );

    await lab.pods.delete(red, lab.pods.find('red-15')!);
    const deleted = Date.now();
    const cooling = await refusal();
    evidence.expect(
      cooling !== undefined && /cool/.test(cooling.message),
      'right after a DEL the address is still cooling down',
    );
    evidence.show('what the runtime is told', cooling!.message);
    await sleep(deleted + COOLDOWN_SECONDS * 1000 + 200 - Date.now());
    const next = await lab.pods.add(red, 'red-16');
    evidence.expect(
      count() === 15,
      `after the cooldown of ${COOLDOWN_SECONDS} s the next pod gets ${next.address}`,
    );
  },
};
