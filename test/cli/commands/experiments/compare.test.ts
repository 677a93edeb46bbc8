import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeRun } from '../../../experiments/runFolders.ts';
import { clmAtTerminal } from '../../atTerminal.ts';
import { clm } from '../../clm.ts';

let folder: string;
const runs = (name: string): string => path.join(folder, name);
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'clm-compare-'));
  for (const [rate, losses] of [
    [0.0001, [1.363, 1.418, 1.405]],
    [0.002, [1.25, 1.27, 1.26]],
  ] as const) {
    losses.forEach((loss, seed) =>
      writeRun(runs(`rates/rate-${rate}_seed-${seed}`), {
        losses: [3, 2, 2, 1.75],
        evaluations: [
          [0, 4],
          [4, loss],
        ],
        config: `seed: ${seed}\noptimizer: { learningRate: ${rate} }\n`,
      }),
    );
  }
  for (const text of ['one', 'two'])
    writeRun(runs(`texts/${text}`), {
      losses: [3, 2],
      evaluations: [[2, 2]],
      texts: [text],
      config: `corpus: { sources: [{ path: /${text}.txt }] }\n`,
    });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('clm compare', () => {
  it('says which setting is best, by which loss, with the interval', async () => {
    const { code, stdout, stderr } = await clm(['compare', runs('rates')]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toBe(
      `seed: 0, 1, 2
optimizer.learningRate: 1e-4, 2e-3

setting            n   final val loss  above best, 95 %               train loss  tokens/s
learningRate 2e-3  3  1.2600 ± 0.0100                 –  lowest  1.7500 ± 0.0000       102
learningRate 1e-4  3  1.3953 ± 0.0287  +0.1353 ± 0.0482  worse   1.7500 ± 0.0000       102
The same numbers: best val loss, at 40 tokens.

learningRate 2e-3 is best: its validation loss, 1.2600 nats per token, is 0.1353 lower than that of the next, \
learningRate 1e-4 (95 % interval 0.0871 to 0.1835, paired by seed, n 3).
The figure compared is the validation loss in nats per token of each run's last evaluation (step 4).
result: isComparable=true best="learningRate 2e-3" validationLoss=1.26
`,
    );
  });

  it('prints all of it as JSON', async () => {
    const { stdout } = await clm(['compare', runs('rates'), '--json', '--at', 'flops']);
    expect(JSON.parse(stdout)).toMatchObject({
      alignment: 'flops',
      amount: 240,
      answer: [expect.stringMatching(/^learningRate 2e-3 is best/), expect.any(String)],
      notes: [],
      isComparable: true,
      measure: 'loss',
      rankedBy: 'validationLoss',
      correction: null,
      groups: [
        { name: 'learningRate 2e-3', values: { 'optimizer.learningRate': 0.002 }, seeds: [0, 1, 2] },
        { name: 'learningRate 1e-4', validationLoss: { n: 3 } },
      ],
      differences: [{ method: 'paired', n: [3, 3], isWithinSpread: false, confidence: 0.95 }],
    });
  });

  it('does not rank runs with different validation texts: exit code 2, with the table and the reason', async () => {
    const { code, stdout, stderr } = await clm(['compare', runs('texts')]);
    expect(code).toBe(2);
    expect(stdout).toContain('sources[0] one.txt  1          2.0000');
    expect(stdout).toContain('Not ranked: the runs were evaluated on different validation texts');
    expect(stdout).not.toMatch(/lowest|is best/);
    expect(stderr).toMatch(
      /^warning: the runs were evaluated on different .* \/one.txt .* `clm evaluate RUN --file FILE`/,
    );
    const json = await clm(['compare', runs('texts'), '--json']);
    expect(json.code).toBe(2);
    expect(JSON.parse(json.stdout)).toMatchObject({ isComparable: false, differences: [null] });
  });

  it('names no best where nothing is ranked, and no run as best that is left out', async () => {
    const unfinished = { losses: [3], steps: 4, config: 'seed: 2\n', status: { state: 'stopped' } };
    writeRun(runs('stopped/a'), unfinished);
    const nothing = await clm(['compare', runs('stopped')]);
    expect(nothing.stdout).toMatch(/Nothing is ranked: .*\n(.*\n)*result: isComparable=true\n$/);
    writeRun(runs('stopped/b'), { losses: [3, 2], evaluations: [[2, 2]], status: { state: 'done' } });
    const one = await clm(['compare', runs('stopped')]);
    expect(one.stdout).toContain('Note: 1 run is not finished and left out: a (');
    expect(one.stdout).toContain('result: isComparable=true best=b validationLoss=2\n');
  });

  it('fits a narrow terminal: fewer columns, then the names on lines of their own', async () => {
    const linesAt = async (columns: number) => {
      const { output } = await clmAtTerminal(['compare', runs('rates')], [], { size: [columns, 30] });
      const lines = output.replaceAll('\r', '').split('\n');
      return lines.filter((line) => !line.startsWith('result: ')); // that line is for scripts
    };
    const wide = await linesAt(70);
    expect(wide).toContain('learningRate 1e-4  3  1.3953 ± 0.0287  +0.1353 ± 0.0482  worse');
    const narrow = await linesAt(50);
    const at = narrow.indexOf('learningRate 1e-4');
    expect(narrow[at + 1]).toBe('  1.3953 ± 0.0287  +0.1353 ± 0.0482  worse');
    for (const [width, lines] of [
      [70, wide],
      [50, narrow],
    ] as const)
      expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(width);
  });
});
