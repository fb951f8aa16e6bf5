import assert from 'node:assert/strict';
import { test } from 'node:test';
import { changeNftElements, NetNamespace, Nftables, NftError, nftElements, openNetfilter } from '@enid/linux';
import { elementChanges } from './elements.ts';
import { baseScript, type Family, SETS, TABLE } from './layout.ts';
import { type Change, changeScript, listedObjects } from './objects.ts';

const CHANGES: Change[] = Object.entries({
  'ip frontends 10.0.0.1 . tcp . 80': 'goto random/x',
  'ip frontends 0.0.0.0 . udp . 30001': 'goto random/x',
  'ip endpoints-tcp 10.0.0.1 . 80 . 1': '10.0.0.9 . 8080',
  'ip endpoints-udp 10.0.0.1 . 80 . 300': '10.0.0.9 . 53',
  'ip endpoints-sctp 10.0.0.1 . 65535 . 0': '10.0.0.9 . 1',
  'ip affinity-members 10.0.0.1 . sctp . 80 . 10.0.0.9 . 8080': 'goto random/x',
  'ip source-ranges 10.0.0.2 . tcp . 80 . 0.0.0.0/0': '',
  'ip source-ranges 10.0.0.1 . tcp . 80 . 192.0.2.0/23': '',
  'ip source-ranges 10.0.0.1 . tcp . 80 . 198.51.100.7': '',
  'ip hairpin 10.0.0.1 . 10.0.0.1': '',
  'ip cluster-ips 172.20.0.1': '',
  'ip6 frontends fd00::1 . udp . 53': 'goto random/x',
  'ip6 endpoints-udp fd00::1 . 53 . 2': 'fd00::9 . 5353',
  'ip6 affinity-members fd00::1 . tcp . 80 . fd00::9 . 8080': 'goto random/x',
  'ip6 source-ranges fd00::1 . tcp . 80 . fd00::/9': '',
  'ip6 source-ranges fd00::1 . tcp . 80 . 2001:db8::7': '',
  'ip6 hairpin fd00::1 . fd00::1': '',
  'ip6 cluster-ips fd00::1': '',
}).map(([object, to]) => ({ object, from: undefined, to }));

test('elements are in the kernel as nft would have put them there, and go by both', async (t) => {
  const beds = ['text', 'bytes'].map((name) => {
    const ns = NetNamespace.create(`el${process.pid}-${name}`);
    t.after(() => {
      ns.close();
      NetNamespace.delete(`el${process.pid}-${name}`);
    });
    return { ns, nft: new Nftables(ns) };
  });
  const [text, bytes] = [beds[0]!, beds[1]!];
  using netfilter = openNetfilter(bytes.ns);
  for (const family of ['ip', 'ip6'] as const) {
    const base = `${baseScript(family, { nodePortCidrs: [] })}add chain ${family} ${TABLE} random/x\n`;
    for (const { nft } of beds) await nft.apply(base);
  }
  // In which order a hash table lists them is its own.
  const all = (ns: NetNamespace) =>
    (['ip', 'ip6'] as Family[])
      .flatMap((family) =>
        SETS.flatMap((map) =>
          nftElements({ family, table: TABLE, map }, ns)!.map(({ key, value }) =>
            [family, map, Buffer.from(key).toString('hex'), Buffer.from(value).toString('hex')].join(' '),
          ),
        ),
      )
      .sort();
  await text.nft.apply(changeScript(CHANGES));
  await changeNftElements(netfilter, elementChanges(CHANGES));
  assert.deepEqual(all(bytes.ns), all(text.ns));
  assert.equal(all(text.ns).length, CHANGES.length);
  // Chains to go to and the ends of intervals are not among these bytes, but in what nft lists.
  const listed = async ({ nft }: (typeof beds)[number]) => {
    const listings = await Promise.all(
      (['ip', 'ip6'] as const).map((family) => nft.list({ family, name: TABLE })),
    );
    return [...listedObjects(listings.flatMap((listing) => listing!))].sort();
  };
  const [byText, byBytes] = [await listed(text), await listed(bytes)];
  assert.deepEqual(byBytes, byText);
  for (const { object, to } of CHANGES)
    assert.ok(
      byBytes.some(([key, value]) => key === object && value === to),
      object,
    );

  const moved = CHANGES.filter(({ to }) => to?.includes(' . ')).map(({ object, to }) => ({
    object,
    from: to,
    to: to!.replace(/\d+$/, '77'),
  }));
  await text.nft.apply(changeScript(moved));
  await changeNftElements(netfilter, elementChanges(moved));
  assert.deepEqual(all(bytes.ns), all(text.ns));
  assert.notDeepEqual(await listed(bytes), byBytes);

  // What nft has put there goes as well by bytes, and the other way round.
  const removal = CHANGES.map(({ object, to }) => ({ object, from: to, to: undefined }));
  await bytes.nft.apply(changeScript(removal));
  using ofText = openNetfilter(text.ns);
  await changeNftElements(ofText, elementChanges(removal));
  for (const { ns } of beds) assert.deepEqual(all(ns), []);
});

test('what is not of the layout is refused with its name', () => {
  for (const [object, to, why] of [
    ['ip nowhere 10.0.0.1', '', /"ip nowhere 10.0.0.1".*no set nowhere/],
    ['ip cluster-ips nonsense', '', /nonsense/],
    ['ip source-ranges 10.0.0.1 . tcp . 80 . 10.0.0.1-10.0.0.9', '', /10.0.0.1-10.0.0.9/],
    ['ip frontends 10.0.0.1 . icmp . 80', 'goto random/x', /icmp is no protocol/],
    ['ip frontends 10.0.0.1 . tcp . 80', 'drop', /drop leads to no chain/],
    ['ip frontends 10.0.0.1 . tcp', 'goto random/x', /2 parts where there are 3/],
    ['ip endpoints-tcp 10.0.0.1 . http . 1', '10.0.0.9 . 8080', /http is no port/],
    ['ip endpoints-tcp 10.0.0.1 . 80 . 1', '10.0.0.9 . 65536', /65536 is no port/],
    ['ip endpoints-tcp 10.0.0.1 . 80 . -1', '10.0.0.9 . 80', /-1 is no slot/],
    ['ip endpoints-tcp 10.0.0.1 . 80 . 1', '10.0.0.9', /1 parts where there are 2/],
  ] as const) {
    assert.throws(
      () => elementChanges([CHANGES[0]!, { object, from: undefined, to }]),
      (error) => error instanceof NftError && why.test(error.message),
      object,
    );
  }
});
