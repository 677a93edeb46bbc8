/** Differences between processes that were to train the same run are named, with both values. */
import { expect, it } from 'vitest';
import { configSchema } from '../../../src/config/schema.ts';
import { preparedDifference, startDifference, startFacts } from '../../../src/training/processes/sameRun.ts';

const config = configSchema.parse({
  name: 'tiny',
  corpus: { sources: [{ path: '/data/a.txt' }] },
  training: { steps: 50 },
});
const first = { ...startFacts(config, { resume: false }), processor: ['avx2', 'avx512f'] };

it('names keys, versions and processors that differ', () => {
  expect(startDifference(first, structuredClone(first))).toBeUndefined();
  const longer = { ...first, config: { ...first.config, training: { ...config.training, steps: 100 } } };
  expect(startDifference(first, longer)).toBe('training.steps is 100 there and 50 on rank 0');
  expect(startDifference(first, { ...first, clm: '9.9.9' })).toMatch(/the version of clm is 9\.9\.9 there and/);
  expect(startDifference(first, { ...first, resume: true })).toContain('--resume is true there and false');
  const older = startDifference(first, { ...first, processor: ['avx2'] });
  expect(older).toContain('rounds otherwise: it lacks avx512f, which rank 0 has');
});

it('takes no notice of paths, of the number of workers, and of the machine', () => {
  const { corpus } = config;
  const elsewhere = {
    ...config,
    corpus: { ...corpus, sources: [{ ...corpus.sources[0]!, path: '/mnt/a.txt' }], workers: 7, cache: '/mnt/cache' },
  };
  expect(
    startDifference(first, { ...first, ...startFacts(elsewhere, { resume: false }), processor: first.processor }),
  ).toBeUndefined();
});

it('names a file that differs, and the checkpoint', () => {
  const files = [{ name: 'a.txt', bytes: 10, sha256: 'x' }];
  const facts = { files, trainingTokens: 9, validationTokens: 1, tokenizer: 't', step: 5, checkpoint: 'c', steps: 50 };
  expect(preparedDifference(facts, structuredClone(facts))).toBeUndefined();
  const shorter = { ...facts, files: [{ ...files[0]!, bytes: 8 }] };
  expect(preparedDifference(facts, shorter)).toBe('the corpus differs: a.txt has 8 bytes there and 10 on rank 0');
  const other = { ...facts, files: [{ ...files[0]!, sha256: 'y' }] };
  expect(preparedDifference(facts, other)).toBe('the corpus differs: a.txt has other content');
  expect(preparedDifference(facts, { ...facts, tokenizer: 'u' })).toBe('the tokenizer is another one');
  expect(preparedDifference(facts, { ...facts, step: 4 })).toContain('of step 4 there and of step 5 on rank 0');
  expect(preparedDifference(facts, { ...facts, checkpoint: 'd' })).toContain('is another one');
});
