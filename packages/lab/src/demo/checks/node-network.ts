import type { Check } from '../check.ts';

export const nodeNetwork: Check = {
  name: 'A pod is wired by a veth pair, policy rules and one table per ENI',
  async run({ lab, red, pods, evidence }) {
    const first = await pods.find('red-1');
    for (let n = 2; n <= 6; n++) await pods.add(red.record, `red-${n}`);
    const sixth = await pods.find('red-6');

    const run = async (target: string, ...command: [string, ...string[]]) =>
      (await lab.run(target, command)).stdout;
    const links = await run('node-1', 'ip', '-o', 'link', 'show', 'type', 'veth');
    const inside = await run('red-1', 'ip', '-o', 'link', 'show', 'dev', 'eth0');
    const short = (text: string) => text.replace(/ qdisc.*$/gm, '');
    evidence.show('node-1# ip link show type veth', short(links));
    evidence.show('red-1# ip link show dev eth0', short(inside));
    const hostName = first.hostInterface;
    const host = new RegExp(`^(\\d+): ${hostName}@if(\\d+):`, 'm').exec(links);
    const pod = /^(\d+): eth0@if(\d+):/m.exec(inside);
    evidence.expect(
      host !== null && pod !== null && host[1] === pod[2] && host[2] === pod[1],
      `${hostName}@if${host?.[2]} on node-1 and eth0@if${pod?.[2]} in red-1 are one veth pair, named by sha1("default.red-1")`,
    );
    evidence.show(
      'red-1# ip route; ip neighbour',
      (await run('red-1', 'ip', 'route')) + (await run('red-1', 'ip', 'neighbour')),
    );

    const rules = (await run('node-1', 'ip', 'rule')).split('\n');
    evidence.show('node-1# ip rule', rules.filter(Boolean));
    const rule = (text: RegExp) => rules.some((line) => text.test(line));
    const table = Number(
      /lookup (\d+)/.exec(rules.find((line) => line.includes(`from ${sixth.address} `)) ?? '')?.[1],
    );
    evidence.expect(
      [first, sixth].every(({ address }) => rule(new RegExp(`^512:\\s+from all to ${address} lookup main`))),
      'rule 512 sends what is for a pod to the main table',
    );
    evidence.expect(
      rule(/^1024:\s+from all fwmark 0x80\/0x80 lookup main/),
      'rule 1024 sends marked connections to the main table',
    );
    evidence.expect(
      table === 2 && !rule(new RegExp(`from ${first.address} `)),
      `rule 1536 sends what comes from a pod of ENI1 (red-6, ${sixth.address}) to table 2; a pod of ENI0 (red-1) needs none`,
    );

    const main = await run('node-1', 'ip', 'route', 'show', 'table', 'main');
    const eni = await run('node-1', 'ip', 'route', 'show', 'table', String(table));
    const local = await run('node-1', 'ip', 'route', 'show', 'table', 'local');
    evidence.show('node-1# ip route show table main', main);
    evidence.show(`node-1# ip route show table ${table}`, eni);
    evidence.show('node-1# ip route show table local', local);
    evidence.expect(
      main.includes(`${first.address} dev ${hostName} `) &&
        main.includes(`${sixth.address} dev ${sixth.hostInterface} `),
      'the main table has a /32 route to each pod by its veth',
    );
    evidence.expect(
      /^default via 10\.0\.1\.1 dev eth1/m.test(eni) &&
        /^10\.0\.1\.1 dev eth1 (proto \S+ )?scope link/m.test(eni),
      `table ${table} leads to the subnet's gateway by eth1`,
    );
    evidence.expect(
      local.includes(`local ${red.record.address} dev eth0`) && !local.includes(`local ${first.address} `),
      "the node's address is local, the pods' are not: they are routed",
    );
  },
};
