import { maxPods } from '@enid/ipam';
import { type Check, COOLDOWN_SECONDS } from '../check.ts';

export const podLimit: Check = {
  name: 'A full node takes no more pods, and it is said why',
  async run({ red, pods, client, evidence }) {
    const { name, dnsName } = red.record;
    const limit = maxPods('t3.medium');
    const onNode = async () => {
      const { items } = await client.get<{ items: { status: { podIP?: string } }[] }>('/api/v1/pods', {
        fieldSelector: `spec.nodeName=${dnsName}`,
      });
      return items.map(({ status }) => status.podIP ?? '');
    };
    const free = limit - (await onNode()).length;
    const mine = (await pods.list()).filter((pod) => pod.node === dnsName).length;
    const last = `red-${mine + free}`;
    const next = `red-${mine + free + 1}`;
    await Promise.all(Array.from({ length: free }, (_, n) => pods.add(red.record, `red-${mine + n + 1}`)));
    const addresses = (await onNode()).filter((address) => address !== red.record.address);
    evidence.show(`addresses of the pods on ${name}`, [addresses.join(' ')]);
    evidence.expect(
      addresses.length === 15 && new Set(addresses).size === 15 && limit === 17,
      '15 pods with 15 addresses, and aws-node and kube-proxy, fill a t3.medium: 17 = 3 x (6 - 1) + 2',
    );

    await pods.create(red.record, next);
    const full = await pods.event(next, 'FailedScheduling', /Too many pods/);
    evidence.expect(true, 'the next pod stays pending: the scheduler knows the limit');
    evidence.show(`kubectl describe pod ${next}`, full);

    await pods.delete(last);
    const cooling = await pods.event(next, 'FailedCreatePodSandBox', /cool/);
    evidence.expect(
      true,
      `${last} is deleted, and ${next} scheduled, while the only free address still cools down`,
    );
    evidence.show(`kubectl describe pod ${next}`, cooling);
    const { address } = await pods.running(next);
    evidence.expect(
      addresses.includes(address),
      `after the cooldown of ${COOLDOWN_SECONDS} s ${next} runs with that address, ${address}`,
    );
  },
};
