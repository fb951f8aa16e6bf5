import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openNetfilter } from './nfnetlink.ts';
import { changeNftElements, type NftElementChange, nftElements } from './nft-elements.ts';
import { nftGeneration } from './nft-generation.ts';
import { Nftables, NftError } from './nftables.ts';
import { testNamespace } from './testing.ts';

test('the elements of a map, in either family, however many', (t) => {
  const ns = testNamespace(t);
  const many = Array.from({ length: 20_000 }, (_, n) => `10.${n >> 16}.${(n >> 8) & 255}.${n & 255} : ${n}`);
  new Nftables(ns).applySync(`
    add table ip t
    add map ip t ports { type ipv4_addr : inet_service; flags timeout; }
    add element ip t ports { ${many.join(', ')} }
    add table ip6 t
    add map ip6 t addresses { type ipv6_addr : ipv6_addr; flags timeout; }
    add element ip6 t addresses { fd00::1 timeout 1h : fd00::2 }
    add map ip6 t none { type ipv6_addr : ipv6_addr; }
  `);
  const ports = nftElements({ family: 'ip', table: 't', map: 'ports' }, ns)!;
  assert.deepEqual(
    ports.map(({ key, value }) => `${key.join('.')} : ${Buffer.from(value).readUInt16BE()}`).sort(),
    many.toSorted(),
  );
  const address = (last: number) => new Uint8Array([0xfd, ...Array(14).fill(0), last]);
  assert.deepEqual(nftElements({ family: 'ip6', table: 't', map: 'addresses' }, ns), [
    { key: address(1), value: address(2) },
  ]);
  assert.deepEqual(nftElements({ family: 'ip6', table: 't', map: 'none' }, ns), []);
  assert.equal(nftElements({ family: 'ip', table: 't', map: 'addresses' }, ns), undefined);
  assert.equal(nftElements({ family: 'ip', table: 'nowhere', map: 'ports' }, ns), undefined);
});

test('elements are changed in one transaction, or none of them', async (t) => {
  const ns = testNamespace(t);
  new Nftables(ns).applySync(`
    add table ip t
    add chain ip t one
    add map ip t ways { type ipv4_addr : verdict; }
    add map ip t ports { type ipv4_addr : inet_service; }
    add set ip t known { type ipv4_addr; }
  `);
  using socket = openNetfilter(ns);
  const key = (n: number) => Uint8Array.of(10, n >> 16, (n >> 8) & 255, n & 255);
  const port = (n: number) => Uint8Array.of(n >> 8, n & 255);
  const all = Array.from({ length: 20_000 }, (_, n) => n);
  const of = (map: string) => ({ family: 'ip', table: 't', map }) as const;
  const change = (...changes: NftElementChange[]) => changeNftElements(socket, changes);
  const count = (map: string) => nftElements(of(map), socket)!.length;

  const before = nftGeneration(socket);
  await change(
    { ...of('ports'), add: all.map((n) => ({ key: key(n), value: port(n) })) },
    { ...of('ways'), add: [{ key: key(1), value: 'one' }] },
    { ...of('known'), add: [{ key: key(1) }, { key: key(2) }] },
  );
  assert.equal(nftGeneration(socket), before + 1);
  assert.deepEqual(['ports', 'ways', 'known'].map(count), [20_000, 1, 2]);
  assert.match(
    JSON.stringify(await new Nftables(ns).list({ family: 'ip', name: 't' }, 'ways')),
    /"10.0.0.1",\{"goto":\{"target":"one"\}\}/,
  );
  await change(
    { ...of('ports'), remove: all.slice(1).map((n) => ({ key: key(n) })) },
    { ...of('known'), add: [{ key: key(2) }] },
  );
  assert.deepEqual(nftElements(of('ports'), ns), [{ key: key(0), value: port(0) }]);

  const known = { ...of('known'), add: [{ key: key(3) }] };
  const refused: [NftElementChange, RegExp][] = [
    [{ ...of('ports'), remove: [{ key: key(9) }] }, /NFT_MSG_DELSETELEM ip t ports.*ENOENT/],
    [{ ...of('nowhere'), add: [{ key: key(9) }] }, /NFT_MSG_NEWSETELEM ip t nowhere.*ENOENT/],
    [{ ...of('ways'), add: [{ key: key(9), value: 'nowhere' }] }, /ENOENT/],
    [{ ...of('ports'), add: [{ key: key(0), value: port(1) }] }, /EEXIST|EBUSY/],
    [{ ...of('known'), add: [{ key: Uint8Array.of(1) }] }, /EINVAL/],
  ];
  for (const [wrong, why] of refused) {
    for (const changes of [
      [known, wrong],
      [wrong, known],
    ]) {
      await assert.rejects(
        change(...changes),
        (error) => error instanceof NftError && why.test(error.message),
      );
      assert.equal(count('known'), 2);
    }
  }
  // What was left unread of refusals is in nobody's way.
  await change(known);
  assert.equal(count('known'), 3);
  await change();
});

test('however much of a transaction is refused, the next one is answered', async (t) => {
  const ns = testNamespace(t);
  new Nftables(ns).applySync('add table ip t\nadd set ip t s { type ipv4_addr; }');
  using socket = openNetfilter(ns);
  const of = { family: 'ip', table: 't', map: 's' } as const;
  const none = { ...of, remove: [{ key: Uint8Array.of(10, 0, 0, 1) }] };
  await assert.rejects(changeNftElements(socket, Array(6000).fill(none)));
  const began = performance.now();
  const generation = nftGeneration(socket);
  await changeNftElements(socket, [{ ...of, add: none.remove }]);
  assert.equal(nftGeneration(socket), generation + 1);
  assert.ok(performance.now() - began < 5000, 'nothing was waited for');
});
