import { appendFileSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { findRuns, resolveRuns } from '../../src/experiments/findRuns.ts';
import { followMetrics, readEvaluations, readMetricsTail } from '../../src/run/readMetrics.ts';
import { readRunHistory } from '../../src/experiments/runHistory.ts';
import { summarizeRun } from '../../src/experiments/runSummary.ts';
import { terminalChart } from '../../src/experiments/terminalChart.ts';
import { scanUpdate } from '../../src/run/updateScanner.ts';
import { useTemporaryFolder } from '../temporaryFolder.ts';
import { writeRun } from './runFolders.ts';

const folder = useTemporaryFolder();
const at = (...names: string[]) => path.join(folder(), ...names);
const hourAgo = () => (Date.now() - 3_600_000) / 1000;

describe('reading metrics', () => {
  it('reads only the end of a long file, but evaluations from anywhere in it', () => {
    const losses = Array.from({ length: 500 }, (_, i) => 5 - i / 200);
    writeRun(at('run'), {
      losses,
      evaluations: [
        [0, 5.5],
        [3, 4.5],
        [500, 2.75],
      ],
    });
    const file = at('run/metrics.jsonl');
    const tail = readMetricsTail(file)!;
    expect(tail.bytes).toBeGreaterThan(1 << 15);
    expect(tail.records.length).toBeGreaterThan(50);
    expect(tail.records.length).toBeLessThan(400);
    expect(tail.records.at(-1)).toMatchObject({ kind: 'evaluation', step: 500 });
    expect(readEvaluations(file).map(({ step, loss }) => [step, loss])).toEqual([
      [0, 5.5],
      [3, 4.5],
      [500, 2.75],
    ]);
  });

  it('ignores an incomplete last line and lines that are not records', () => {
    writeRun(at('torn'), {});
    writeFileSync(
      at('torn/metrics.jsonl'),
      '{"kind":"step","step":1,"loss":4}\nnonsense\n{"step":2,"kind":"step","loss":3}\n{"kind":"st',
    );
    expect(readRunHistory(at('torn')).updates).toMatchObject({ step: [1, 2], loss: [4, 3] });
    expect(readMetricsTail(at('torn/metrics.jsonl'))!.records.map(({ step }) => step)).toEqual([1, 2]);
    expect(readMetricsTail(at('nothing'))).toBeUndefined();
  });

  it('scans step records like JSON.parse, and leaves other lines to it', () => {
    const update = { step: 0, loss: 0, learningRate: 0, gradientNorm: 0, tokensPerSecond: 0, elapsedMs: 0 };
    const scan = (text: string) => scanUpdate(Buffer.from(text), 0, text.length, update);
    for (let i = 0; i < 2000; i++) {
      const value = (Math.random() - 0.5) * 10 ** Math.round(40 * (Math.random() - 0.5));
      const record = {
        kind: 'step',
        step: i,
        loss: value,
        learningRate: Math.random() / 1e4,
        gradientNorm: 1e22,
        other: -1.5e-7,
        tokensPerSecond: 18_000.25,
        elapsedMs: 12,
      };
      expect(scan(JSON.stringify(record))).toBe(true);
      expect(update).toMatchObject({ step: i, gradientNorm: 1e22, tokensPerSecond: 18_000.25, elapsedMs: 12 });
      expect(Math.abs(update.loss / value - 1)).toBeLessThan(1e-15);
      expect(Math.abs(update.learningRate / record.learningRate - 1)).toBeLessThan(1e-15);
    }
    expect(scan('{"kind":"step","step":3}')).toBe(true);
    expect(update).toMatchObject({ step: 3, loss: NaN });
    for (const text of [
      '{"kind":"step","step":1',
      '{"kind":"step","step":"1"}',
      '{"kind":"step","step":{"a":1}}',
      '{"kind":"evaluation","step":1}',
      '{"kind":"step","step":1} x',
      '{"kind":"step","loss":-}',
      '{"kind":"step","loss":null}',
    ]) {
      expect(scan(text), text).toBe(false);
    }
  });

  it('follows a file record by record, and starts over if the file is cut', () => {
    const metrics = followMetrics(at('m'));
    expect(metrics.read()).toEqual({ records: [], restarted: false });
    writeFileSync(at('m'), '{"kind":"step","step":1}\n{"kind":"step","st');
    expect(metrics.read().records).toEqual([{ kind: 'step', step: 1 }]);
    appendFileSync(at('m'), 'ep":2}\n');
    expect(metrics.read()).toEqual({ records: [{ kind: 'step', step: 2 }], restarted: false });
    writeFileSync(at('m'), '{"kind":"step","step":1}\n');
    expect(metrics.read()).toEqual({ records: [{ kind: 'step', step: 1 }], restarted: true });
  });
});

describe('the summary of a run', () => {
  it('is done if the last step is evaluated, running if it has just written, else stopped', () => {
    const done = writeRun(at('done'), {
      losses: [3, 2, 2.5, 1],
      evaluations: [
        [0, 4],
        [2, 1.5],
        [4, 1.75],
      ],
    });
    expect(summarizeRun(done)).toMatchObject({
      name: 'done',
      state: 'done',
      step: 4,
      steps: 4,
      loss: 1,
      validationLoss: 1.75,
      bestValidationLoss: 1.5,
      bestStep: 2,
      tokensPerSecond: 102,
      device: 'cpu',
    });
    const other = writeRun(at('other'), { losses: [3, 2], steps: 9, evaluations: [[0, 4]] });
    expect(summarizeRun(other).state).toBe('running');
    utimesSync(at('other/metrics.jsonl'), hourAgo(), hourAgo());
    expect(summarizeRun(other)).toMatchObject({ state: 'stopped', step: 2, steps: 9 });
    expect(summarizeRun(other).ageMs).toBeGreaterThan(3_500_000);
  });

  it('of which the last change is in the future, since the clock was set back, is not running', () => {
    const run = writeRun(at('later'), { losses: [3, 2], steps: 9, evaluations: [[0, 4]] });
    const latest = writeRun(at('latest'), { losses: [3, 2], steps: 9, evaluations: [[0, 4]] });
    const inAnHour = new Date(Date.now() + 3_600_000);
    utimesSync(at('later/metrics.jsonl'), inAnHour, inAnHour);
    const inTwo = new Date(Date.now() + 7_200_000);
    utimesSync(at('latest/metrics.jsonl'), inTwo, inTwo);
    expect(summarizeRun(run).state).toBe('stopped');
    expect(summarizeRun(latest).ageMs).toBeLessThan(summarizeRun(run).ageMs); // still the order of their changes
  });

  it('is failed if the log of its sweep says so, with the reason, until it is started again', () => {
    const run = writeRun(at('rates/a'), { losses: [3], steps: 5 });
    const note = (record: object) => appendFileSync(at('rates/sweep.jsonl'), `${JSON.stringify(record)}\n`);
    note({ kind: 'started', run: 'a' });
    note({ kind: 'failed', run: 'a', reason: 'diverged' });
    note({ kind: 'done', run: 'aa' });
    expect(summarizeRun(run)).toMatchObject({ state: 'failed', reason: 'diverged' });
    note({ kind: 'started', run: 'a' });
    expect(summarizeRun(run).state).toBe('running');
  });

  it('is found below a folder, and by its own path', () => {
    for (const name of ['b', 'a', 'sweep/c']) writeRun(at(name), { losses: [1] });
    expect(findRuns(folder())).toEqual([at('a'), at('b'), at('sweep/c')]);
    expect(resolveRuns([at('a'), at('sweep')])).toEqual([at('a'), at('sweep/c')]);
    expect(() => resolveRuns([at('nothing')])).toThrow('There is no run at');
  });
});

describe('a chart in the terminal', () => {
  const points = Array.from({ length: 50 }, (_, i): [number, number] => [i, 50 - i]);

  it.each([
    [20, 4],
    [40, 8],
    [173, 30],
  ])('fits %d × %d and reaches all four corners of its range', (width, height) => {
    const lines = terminalChart([{ points }], { width, height });
    expect(lines).toHaveLength(height);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(width);
    expect(lines[0]).toMatch(/50 │[⠁⠃⠉⠙⠑⠈⠒⠢⢄⡀⢇⠇⡇]/);
    expect(lines.at(-2)!.trimEnd()).toHaveLength(width); // the curve reaches the lower right corner
    expect(lines.at(-1)).toMatch(/└0─+49$/);
  });

  it('paints each series, and draws one value or none', () => {
    const paint = (text: string, series: number) => `<${series}${text}>`;
    const drawn = terminalChart(
      [
        {
          points: [
            [0, 0],
            [1, 0],
          ],
        },
        {
          points: [
            [0, 1],
            [1, 1],
          ],
        },
      ],
      { width: 30, height: 6, paint },
    ).join('\n');
    expect(drawn.indexOf('<1')).toBeGreaterThan(-1);
    expect(drawn.indexOf('<0')).toBeGreaterThan(drawn.indexOf('<1'));
    expect(terminalChart([{ points: [[5, 2]] }], { width: 30, height: 6 })[5]).toMatch(/4\.5.*5\.5/);
    expect(terminalChart([{ points: [[5, NaN]] }], { width: 30, height: 6 })).toEqual(['no records yet']);
  });
});
