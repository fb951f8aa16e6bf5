/**
 * Loaded before each test file by `enid test`: property tests draw from one seed, so that a run can be repeated and
 * only a change of the code makes a test fail. Another seed searches elsewhere: ENID_TEST_SEED=7 ./enid test.
 */
import { appendFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';

fc.configureGlobal({ seed: Number(process.env.ENID_TEST_SEED ?? 1) });

// What an interrupted run has made is found by the ids of its processes.
if (process.env.ENID_TEST_RUN) appendFileSync(join(tmpdir(), 'processes'), `${process.pid}\n`);
