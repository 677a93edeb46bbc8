/** Training that diverged: how it is noticed, the failure, and its report `divergence.json`. */
import { join } from 'node:path';
import type { Cursor } from '../data/windows/cursor.ts';
import type { WindowText } from '../data/windows/origins.ts';
import { DivergedError } from '../errors.ts';
import { listCheckpoints } from '../run/findCheckpoint.ts';
import type { StepRecord } from '../run/metrics.ts';
import { writeFileDurably } from '../storage/durable.ts';
import type { NamedTensor } from '../tensors/tensors.ts';

/** Number of past steps that a divergence report lists. */
const listedSteps = 50;

/** The failure, with what to do about it. */
export const diverged = (what: string): DivergedError =>
  new DivergedError(
    `Training diverged: ${what}. Nothing was saved after that. Start a new run (--run OTHER) with a lower ` +
      'optimizer.learningRate, a longer schedule.warmupSteps or a tighter optimizer.gradientClip.',
  );

/** @throws DivergedError naming the first tensor with a value that is not finite */
export function assertFinite(tensors: readonly NamedTensor[], step: number): void {
  for (const { name, values } of tensors) {
    for (let i = 0; i < values.length; i++) {
      if (!Number.isFinite(values[i])) throw diverged(`${name} after ${step} steps holds ${values[i]}`);
    }
  }
}

/** Part of the training sequence: the positions before and after it. undefined: the start of the sequence. */
export interface SequenceRange {
  from: Cursor | undefined;
  to: Cursor | undefined;
}

/** Watches the steps of a run: ends it after too many skipped updates, and keeps the latest steps for the report. */
export interface StepWatch {
  /** @param range the micro-batches of the step @throws DivergedError after too many skipped updates */
  add(record: StepRecord, range: SequenceRange): void;
  latest: StepRecord[];
  /** The micro-batches of the latest step. */
  range: SequenceRange;
}

/**
 * @param maxSkips maximum number of updates in a row that the guard may skip (step/guard.ts)
 * @param start the position in the training sequence before the first step
 */
export function openStepWatch(maxSkips: number, start: Cursor | undefined): StepWatch {
  let skips = 0;
  const watch: StepWatch = {
    latest: [],
    range: { from: start, to: start },
    add: (record, range) => {
      watch.latest = [...watch.latest.slice(1 - listedSteps), record];
      watch.range = range;
      const { step, loss, gradientNorm, skipped } = record;
      skips = skipped === undefined ? 0 : skips + 1;
      if (skips <= maxSkips) return;
      throw diverged(
        `${skips} updates in a row were skipped, the last one (${step}, ${skipped}) with loss ${loss} and ` +
          `gradient norm ${gradientNorm}`,
      );
    },
  };
  return watch;
}

/**
 * Writes `divergence.json` into the run directory: the latest steps with losses and norms, the documents of the last
 * one with their places in the corpus, and the newest checkpoint, which is from before.
 * @param textOf finds the documents of a range; if the corpus is unreadable, the error is reported instead
 * @returns the failure with the report and the checkpoint named
 */
export async function reportDivergence(
  failure: DivergedError,
  runDirectory: string,
  { latest, range }: StepWatch,
  textOf: (range: SequenceRange) => Promise<WindowText[]>,
): Promise<DivergedError> {
  const path = join(runDirectory, 'divergence.json');
  const last = latest.at(-1);
  const checkpoint = (await listCheckpoints(runDirectory)).at(-1);
  const report = {
    step: last?.step ?? null,
    // as text: JSON has no NaN or Infinity
    loss: String(last?.loss),
    gradientNorm: String(last?.gradientNorm),
    text: await textOf(range).then(
      (documents) => ({ ...range, documents }),
      (error: unknown) => ({ unknown: (error as Error).message }),
    ),
    checkpointBefore: checkpoint?.path ?? null,
    latestSteps: latest.map(({ step, loss, gradientNorm, learningRate, skipped }) => ({
      step,
      loss: String(loss),
      gradientNorm: String(gradientNorm),
      learningRate,
      skipped,
    })),
  };
  await writeFileDurably(path, `${JSON.stringify(report, null, 2)}\n`);
  const before =
    checkpoint === undefined ? 'No checkpoint was saved before it.' : `The checkpoint from before: ${checkpoint.path}.`;
  return new DivergedError(`${failure.message}\nReport: ${path}. ${before}`, { cause: failure });
}
