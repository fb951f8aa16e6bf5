import assert from 'node:assert/strict';
import { it } from 'node:test';
import { thousandths } from './quantity.ts';

it('reads quantities exactly, and rounds up what is finer', () => {
  const cases: [string | number, number][] = [
    ['100m', 100],
    ['0.1', 100],
    ['1', 1000],
    [2, 2000],
    ['1.5Gi', 1.5 * 2 ** 30 * 1000],
    ['128974848', 128974848000],
    ['129e6', 129_000_000_000],
    ['1E', 1e21],
    ['100n', 1],
    ['4.1', 4100],
    ['-5', -5000],
  ];
  for (const [text, expected] of cases) assert.equal(thousandths(text), expected, String(text));
  for (const wrong of ['', '1 Gi', '1mi', 'x', '1Kim'])
    assert.throws(() => thousandths(wrong), /is no quantity/);
});
