import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nftElements } from './nft-elements.ts';
import { Nftables } from './nftables.ts';
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
