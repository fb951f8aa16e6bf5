import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { shellWord } from './shell-word.ts';

test('a shell reads a word as it was, and what needs no quotes has none', () => {
  for (const text of ['/home/a b/.enid/kubeconfig', 'it\'s $HOME; `id` "x" \\', '', '~', '*', 'a\nb'])
    assert.equal(execFileSync('sh', ['-c', `printf %s ${shellWord(text)}`], { encoding: 'utf8' }), text);
  assert.equal(shellWord('/home/me/.enid/kubeconfig'), '/home/me/.enid/kubeconfig');
});
