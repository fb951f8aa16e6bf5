import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nftGeneration } from './nft-generation.ts';
import { Nftables } from './nftables.ts';
import { testNamespace } from './testing.ts';

test('each change of the ruleset counts one, and looking counts none', async (t) => {
  const [ns, other] = [testNamespace(t), testNamespace(t)];
  const nft = new Nftables(ns);
  const before = nftGeneration(ns);
  const otherBefore = nftGeneration(other);
  assert.equal(nftGeneration(ns), before);
  nft.applySync('add table inet test\nadd chain inet test c\nadd rule inet test c accept');
  assert.equal(nftGeneration(ns), before + 1);
  nft.listSync({ family: 'inet', name: 'test' });
  assert.throws(() => nft.applySync('add chain inet nowhere c'));
  assert.equal(nftGeneration(ns), before + 1);
  nft.applySync('flush ruleset');
  assert.equal(nftGeneration(ns), before + 2);
  assert.equal(nftGeneration(other), otherBefore);
});
