import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openMetrics, truncateMetrics, type MetricsRecord } from '../../src/run/metrics.ts';
import { failureOf, useTemporaryFolder } from '../temporaryFolder.ts';

const folder = useTemporaryFolder();
const path = () => join(folder(), 'metrics.jsonl');
const read = () => readFile(path(), 'utf8');
const lines = (...records: object[]) => records.map((record) => `${JSON.stringify(record)}\n`).join('');

const rates = { learningRate: 1e-3, gradientNorm: 1, tokensPerSecond: 100, elapsedMs: 5 };
const update = (step: number): MetricsRecord => ({ kind: 'step', step, loss: 1 / step, ...rates });
const scores = { loss: 2, perplexity: 7, bitsPerByte: 3, tokens: 5 };
const evaluation = (step: number): MetricsRecord => ({ kind: 'evaluation', step, ...scores });
const checkpoint = (step: number): MetricsRecord => ({ kind: 'checkpoint', step, path: `step-0000000${step}` });

/** Evaluates every 2 and saves every 3 updates, in the order of the training loop, from step `from` to `to`. */
function loop(from: number, to: number, append: (record: MetricsRecord) => void): void {
  for (let step = from; ; step++) {
    const resumedHere = step === from && from > 0; // what was due here was done before the stop
    if (step % 2 === 0 && !resumedHere) append(evaluation(step));
    if (step > 0 && (step % 3 === 0 || step === to) && !resumedHere) append(checkpoint(step));
    if (step === to) return;
    append(update(step + 1));
  }
}
const isDue = ({ kind, step }: MetricsRecord) => step % (kind === 'checkpoint' ? 3 : 2) === 0;

describe('openMetrics', () => {
  it('hands each record to the system at once, appends to an existing file, and may be closed twice', async () => {
    await writeFile(path(), lines(update(1)));
    const metrics = openMetrics(path());
    metrics.append(update(2));
    expect(await read()).toBe(lines(update(1), update(2)));
    metrics.flush();
    metrics.append(update(3));
    metrics.close();
    metrics.close();
    expect(await read()).toBe(lines(update(1), update(2), update(3)));
  });

  it.skipIf(!existsSync('/dev/full'))('warns of a full disk once, and fails on flush', () => {
    const warnings: string[] = [];
    const metrics = openMetrics('/dev/full', (message) => void warnings.push(message));
    for (const step of [1, 2]) metrics.append(update(step));
    expect(warnings).toEqual([expect.stringContaining('Cannot write /dev/full: the disk is full')]);
    expect(() => metrics.flush()).toThrow('Cannot write /dev/full: the disk is full');
  });

  it('starts a new file if the run was deleted meanwhile, with one warning', async () => {
    const file = join(folder(), 'run', 'metrics.jsonl');
    await mkdir(dirname(file));
    const warnings: string[] = [];
    const metrics = openMetrics(file, (message) => void warnings.push(message));
    metrics.append(update(1));
    await rm(dirname(file), { recursive: true });
    for (const step of [2, 3]) {
      metrics.flush();
      metrics.append(update(step));
    }
    metrics.close();
    expect(await readFile(file, 'utf8')).toBe(lines(update(2), update(3)));
    expect(warnings).toEqual([expect.stringContaining(`${file} was deleted`)]);
  });

  it('does not write through a symbolic link', async () => {
    const link = join(folder(), 'link.jsonl');
    await symlink(join(folder(), 'elsewhere'), link);
    expect(() => openMetrics(link)).toThrow('it is a symbolic link');
  });
});

describe('truncateMetrics', () => {
  it('keeps the step itself with the records before its checkpoint, and drops the rest', async () => {
    const kept = lines(evaluation(0), update(1), update(2), update(3), evaluation(3), checkpoint(3));
    await writeFile(path(), kept + lines(update(4), evaluation(4), checkpoint(5)));
    expect(await truncateMetrics(path(), 3)).toEqual({
      droppedRecords: 3,
      kindsAtStep: ['step', 'evaluation', 'checkpoint'],
    });
    expect(await read()).toBe(kept);
    expect(await readdir(folder())).toEqual(['metrics.jsonl']);
  });

  it('drops a torn last line, wherever it is torn', async () => {
    const kept = lines(update(1), update(2));
    const torn = lines(update(3));
    expect(torn.length).toBeGreaterThan(20);
    for (let length = 0; length < torn.length; length++) {
      await writeFile(path(), kept + torn.slice(0, length));
      await truncateMetrics(path(), 7);
      expect(await read(), `torn at ${length}`).toBe(kept);
    }
    await writeFile(path(), `${kept}\0\0\0\0\n`);
    await truncateMetrics(path(), 7);
    expect(await read()).toBe(kept);
  });

  it('refuses a bad line before the last, and leaves the file as it is', async () => {
    const text = `${lines(update(1))}garbage\n${lines(update(2))}`;
    await writeFile(path(), text);
    const failure = await failureOf(truncateMetrics(path(), 7));
    expect(failure.kind).toBe('wrongInput');
    expect(failure.message).toContain(`${path()}:2`);
    expect(await read()).toBe(text);
    expect(await readdir(folder())).toEqual(['metrics.jsonl']);
  });

  it('works for a missing file, an empty one, and one of many chunks', async () => {
    expect(await truncateMetrics(path(), 7)).toEqual({ droppedRecords: 0, kindsAtStep: [] });
    expect(await readdir(folder())).toEqual([]);
    await writeFile(path(), '');
    await truncateMetrics(path(), 7);
    expect(await read()).toBe('');
    const records = Array.from({ length: 50_021 }, (_, i) => ({ ...update(i + 1), note: 'ä\u2028ö' }));
    const text = lines(...records);
    expect(Buffer.byteLength(text)).toBeGreaterThan(3 << 20);
    await writeFile(path(), text);
    expect(await truncateMetrics(path(), 40_009)).toEqual({ droppedRecords: 10_012, kindsAtStep: ['step'] });
    expect((await read()) === lines(...records.slice(0, 40_009))).toBe(true);
  });

  it('makes the log equal to that of an uninterrupted run, after any stop and resume', async () => {
    const uninterrupted: object[] = [];
    loop(0, 12, (record) => uninterrupted.push(record));
    for (let stop = 1; stop < 12; stop++) {
      for (const lostSteps of [0, 1]) {
        await writeFile(path(), '');
        const first = openMetrics(path());
        loop(0, stop, first.append);
        // Killed a step later instead of stopped: the log is ahead of the checkpoint.
        if (lostSteps > 0) loop(stop, stop + lostSteps, first.append);
        first.close();
        const { kindsAtStep } = await truncateMetrics(path(), stop, isDue);
        expect(kindsAtStep.includes('checkpoint')).toBe(stop % 3 === 0);
        const second = openMetrics(path());
        loop(stop, 12, second.append);
        second.close();
        expect(await read(), `stopped at ${stop}`).toBe(lines(...uninterrupted));
      }
    }
  });
});
