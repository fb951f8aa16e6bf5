import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nftChains } from './nft-chains.ts';
import { Nftables } from './nftables.ts';
import { testNamespace } from './testing.ts';

test('the chains of every table and family, by the names that nft gives them', (t) => {
  const ns = testNamespace(t);
  const nft = new Nftables(ns);
  assert.deepEqual(nftChains(ns), []);
  const families = ['ip', 'ip6', 'inet', 'arp', 'bridge', 'netdev'];
  const many = Array.from({ length: 2000 }, (_, index) => `c${index}`);
  nft.applySync(
    families
      .flatMap((family) => [`add table ${family} t`, `add chain ${family} t ${family}-chain`])
      .concat('add table ip other', ...many.map((name) => `add chain ip other ${name}`))
      .join('\n'),
  );
  const chains = nftChains(ns);
  const ofTable = (name: string) => chains.filter(({ table }) => table === name);
  assert.deepEqual(
    ofTable('t').map(({ family, name }) => [family, name]),
    families.map((family) => [family, `${family}-chain`]),
  );
  assert.deepEqual(
    ofTable('other')
      .map(({ name }) => name)
      .sort(),
    many.toSorted(),
  );
});
