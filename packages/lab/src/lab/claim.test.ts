import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LabNameError } from '../base/directory.ts';
import { claimLab } from './claim.ts';
import { LabError } from './lab.ts';

test('a lab is claimed once at a time, and another lab beside it', async () => {
  const name = `claim${process.pid}`;
  {
    using _claim = await claimLab(name);
    await assert.rejects(
      claimLab(name),
      (error: Error) =>
        error instanceof LabError && /another process works on lab "claim/.test(error.message),
    );
    using _other = await claimLab(`${name}x`);
  }
  using _again = await claimLab(name);
  await assert.rejects(claimLab('No Lab'), LabNameError);
});
