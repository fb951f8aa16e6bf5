/**
 * Loaded before each test file by `enid test`: property tests draw from one seed, so that a run can be repeated and
 * only a change of the code makes a test fail. Another seed searches elsewhere: ENID_TEST_SEED=7 ./enid test.
 */
import fc from 'fast-check';

fc.configureGlobal({ seed: Number(process.env.ENID_TEST_SEED ?? 1) });
