import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { compareRuns } from '../../../src/experiments/comparison/compareRuns.ts';
import { readRunHistory } from '../../../src/experiments/runHistory.ts';
import { useTemporaryFolder } from '../../temporaryFolder.ts';
import { writeRun, type FakeRun } from '../runFolders.ts';

const folder = useTemporaryFolder();

/** A run of four updates with this last loss, whose key `width` and seed are given. */
const run = (name: string, loss: number, { config = '', ...other }: FakeRun = {}, seed = 1) =>
  readRunHistory(
    writeRun(path.join(folder(), name), {
      losses: [3, 3, 3, 3],
      evaluations: [
        [0, 4],
        [2, 3],
        [4, loss],
      ],
      config: `name: ${name}\nseed: ${seed}\n${config}`,
      ...other,
    }),
  );
const source = (file: string, validation = '{ tail: 0.5 }') =>
  `corpus: { sources: [{ path: ${file} }], validation: ${validation} }\n`;

describe('runs with different tokenizers', () => {
  const bytes = { tokenizer: 'bytes', config: 'tokenizer: { kind: bytes }\n' };
  const bpe = { tokenizer: 'bpe', config: 'tokenizer: { kind: bpe, vocabularySize: 400 }\n', bytesPerToken: 3 };

  it('are ranked by bits per byte, and it says so', () => {
    const { measure, groups, answer } = compareRuns([run('bytes', 2, bytes), run('bpe', 4, bpe)]);
    expect(measure).toBe('bitsPerByte');
    expect(groups.map(({ name }) => name)).toEqual(['tokenizer bpe, vocabularySize 400', 'tokenizer bytes']);
    expect(groups[0]!.bitsPerByte!.mean).toBeCloseTo(4 / 3 / Math.LN2, 12);
    expect(answer[0]).toContain('1.9236 bits per byte');
    expect(answer[0]).toContain('No spread is known (one seed each), so this may be chance');
    expect(answer.at(-1)).toContain('Tokenizers differ, so settings are ranked by bits per byte');
  });

  it('are known by their files, whatever the config says', () => {
    const named = (file: string, tokenizer: string) => ({ tokenizer, config: `tokenizer: { path: /${file} }\n` });
    expect(compareRuns([run('a', 2, named('a', 'same')), run('b', 3, named('b', 'same'))])).toMatchObject({
      measure: 'loss',
      groups: [{ name: 'a, b' }],
    });
    const changed = compareRuns([run('c', 2, named('a', 'one')), run('d', 3, named('a', 'other'))]);
    expect(changed.measure).toBe('bitsPerByte');
    expect(changed.groups.map(({ values }) => Object.keys(values))).toEqual([0, 1].map(() => ['tokenizer (content)']));
  });
});

describe('runs with different validation texts', () => {
  it('are not ranked, and the texts are named', () => {
    const { isComparable, groups, differences, answer, notes } = compareRuns([
      run('first', 3, { texts: ['one'], config: source('/a.txt') }),
      run('second', 2, { texts: ['other'], config: source('/b.txt') }),
    ]);
    expect(isComparable).toBe(false);
    expect(groups.map(({ validationLoss }) => validationLoss!.mean)).toEqual([3, 2]);
    expect(differences).toEqual([null]);
    expect(answer).toEqual([expect.stringContaining('Not ranked: the runs were evaluated on different')]);
    expect(notes[0]).toContain('the last 50 % of /a.txt (3 bytes)');
    expect(notes[0]).toContain('/b.txt');
  });

  it('are told by the split and by how documents are made, also without recorded hashes', () => {
    const isComparable = (a: FakeRun, b: FakeRun) => compareRuns([run('a', 3, a), run('b', 2, b)]).isComparable;
    const texts = ['one'];
    const whole = { texts, config: source('/a.txt') };
    expect(isComparable(whole, { texts, config: source('/a.txt', '{ tail: 0.1 }') })).toBe(false);
    expect(isComparable(whole, { texts, config: source('/moved/a.txt') })).toBe(true);
    expect(isComparable(whole, { texts: ['changed'], config: source('/a.txt') })).toBe(false);
    expect(isComparable({ config: source('/a.txt') }, { config: source('/b.txt') })).toBe(false);
    const lines = 'corpus: { sources: [{ path: /a.txt, separator: "x" }], validation: { tail: 0.5 } }\n';
    expect(isComparable(whole, { texts, config: lines })).toBe(false);
  });

  it('are the same if they are files of their own with the same content, whatever was trained on', () => {
    const own = (training: string, validation: string): FakeRun => ({
      texts: [training, validation],
      validationFiles: 1,
      config: source(`/${training}.txt`, `{ path: /v.txt }`),
    });
    const same = compareRuns([run('a', 3, own('one', 'v')), run('b', 2, own('other', 'v'))]);
    expect(same.isComparable).toBe(true);
    expect(same.groups.map(({ name }) => name)).toEqual(['sources[0] other.txt', 'sources[0] one.txt']);
    expect(compareRuns([run('c', 3, own('one', 'v')), run('d', 2, own('one', 'w'))]).isComparable).toBe(false);
  });
});

it('changed text at the same path makes another setting, named by its hash', () => {
  const { groups } = compareRuns(
    ['one', 'two'].map((text) => run(text, 2, { texts: [text], config: source('/a.txt') })),
  );
  expect(groups.map(({ name }) => name)).toEqual(['corpus (content) sha of o', 'corpus (content) sha of t']);
});

describe('runs that are not like the others', () => {
  const of = (width: number, seed: number, loss: number, other: FakeRun = {}) =>
    run(`w${width}-${seed}`, loss, { ...other, config: `model: { width: ${width} }\n` }, seed);
  const stopped: FakeRun = { status: { state: 'stopped', steps: 9 }, steps: 9 };
  const diverged: FakeRun = { status: { state: 'failed', steps: 9, reason: 'Training diverged: NaN' }, steps: 9 };

  it('are left out if they are not finished or diverged, and named', () => {
    const { groups, notes, rankedBy } = compareRuns([
      ...[1, 2].map((seed) => of(1, seed, 2 + seed / 10)),
      of(1, 3, 1, diverged),
      ...[1, 2].map((seed) => of(2, seed, 3 + seed / 10)),
      of(2, 3, 1, stopped),
    ]);
    expect(rankedBy).toBe('validationLoss');
    expect(groups.map(({ validationLoss, seeds }) => [validationLoss!.mean.toFixed(2), seeds])).toEqual([
      ['2.15', [1, 2]],
      ['3.15', [1, 2]],
    ]);
    expect(notes).toEqual([
      'Training diverged in 1 of 3 runs of width 1, which is left out.',
      '1 run is not finished and left out: w2-3 (stopped at step 4 of 9).',
    ]);
  });

  it('are compared at the amount all have reached while less than two settings have finished runs', () => {
    const { rankedBy, amount, notes, answer } = compareRuns([of(1, 1, 2), of(2, 1, 1.5, stopped)]);
    expect({ rankedBy, amount }).toEqual({ rankedBy: 'alignedLoss', amount: 40 });
    expect(answer[0]).toContain('width 2 has the lowest validation loss, 1.5000 nats per token');
    expect(notes[0]).toBe(
      'Fewer than two settings have finished runs, so all runs are compared at 40 tokens, which each has reached.',
    );
    const asked = compareRuns([of(3, 1, 2, stopped), of(4, 1, 1.5, stopped)], { rankedBy: 'validationLoss' });
    expect(asked.answer).toEqual(['Nothing is ranked: no finished run has a validation loss.']);
  });

  it('have the same loss where they do', () => {
    expect(compareRuns([of(1, 1, 2), of(2, 1, 2)]).answer[0]).toBe(
      'width 1 and width 2 have the same validation loss, 2.0000 nats per token.',
    );
  });

  it('count as finished if they reached their time limit', () => {
    const limited = { status: { state: 'stopped', steps: 9, reason: '--max-time 3h' }, steps: 9 };
    const { rankedBy, notes } = compareRuns([of(1, 1, 2, limited), of(2, 1, 1.5, limited)]);
    expect(rankedBy).toBe('validationLoss');
    expect(notes).toEqual([]);
  });

  it('of one seed and setting are one observation', () => {
    const again = run('again', 2.4, { config: 'model: { width: 1 }\n' }, 1);
    const { groups, notes } = compareRuns([of(1, 1, 2), again, of(1, 2, 3)]);
    expect(groups).toHaveLength(1);
    expect(groups[0]!.validationLoss!.n).toBe(2);
    expect(groups[0]!.validationLoss!.mean).toBeCloseTo((2.2 + 3) / 2, 12);
    expect(notes).toEqual([
      'Equal runs of one seed count as one observation: w1-1, again, w1-2 (1 more run than seeds).',
    ]);
  });

  it('with other lengths, or without evaluations, are named', () => {
    const long = { losses: [3, 3, 3, 3, 3, 3], evaluations: [[6, 1.5]] as [number, number][] };
    const { notes, answer } = compareRuns([
      of(1, 1, 2),
      of(2, 1, 1, long),
      of(3, 1, 1, { evaluations: [], status: { state: 'done' } }),
    ]);
    expect(notes).toEqual([
      '1 finished run has no validation loss: w3-1.',
      expect.stringContaining('Runs trained for different lengths: 40 to 60 tokens. `clm compare --rank aligned`'),
    ]);
    expect(answer.join(' ')).toContain('last evaluation (steps 4 to 6)');
    expect(compareRuns([of(4, 1, 1, { evaluations: [], status: { state: 'done' } })]).answer).toEqual([
      'Nothing is ranked: no run has a validation loss.',
    ]);
  });
});
