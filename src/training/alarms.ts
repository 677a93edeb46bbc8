/** What is said when training goes wrong: a first loss that no untrained model has, a divergence, too little memory. */
import { join } from 'node:path';
import { writeFileDurably } from '../storage/durable.ts';
import { listCheckpoints } from '../run/findCheckpoint.ts';
import type { Cursor } from '../data/windows/cursor.ts';
import type { TextOrigin } from '../data/windows/origins.ts';
import { environmentFailure, ExpectedError } from '../errors.ts';
import { diverged } from './diverged.ts';
import type { StepRecord } from '../run/metrics.ts';

/** Steps of the past that a divergence report lists. */
const listedSteps = 50;

/** The text of a step's micro-batches. */
export interface StepText {
  /** Its beginning in the training sequence; undefined at the start of that. */
  from: Cursor | undefined;
  to: Cursor | undefined;
  documents: TextOrigin[];
}

/** Keeps the latest steps, and stops a run whose updates are skipped over and over. */
export interface Watch {
  /** @throws a failure of kind `diverged` */
  check(fact: StepRecord): void;
  readonly latest: readonly StepRecord[];
}

/** @param maxSkips how many updates in a row the gate of the step (guard.ts) may refuse */
export function openWatch(maxSkips: number): Watch {
  const latest: StepRecord[] = [];
  let skips = 0;
  return {
    latest,
    check: (fact) => {
      latest.push(fact);
      if (latest.length > listedSteps) latest.shift();
      const { step, loss, gradientNorm, skipped } = fact;
      skips = skipped === undefined ? 0 : skips + 1;
      if (skips > maxSkips) {
        throw diverged(
          `${skips} updates in a row were skipped, the last one (${step}, ${skipped}) with loss ${loss} and gradient norm ${gradientNorm}`,
        );
      }
    },
  };
}

/**
 * Writes `divergence.json` into the run directory: the latest steps with their losses and norms, the last one's
 * documents with their places in the corpus, and the newest checkpoint, which is from before.
 * @param latestText finds the documents; a corpus that can be read no more is told in their place
 * @returns the failure with the report and the checkpoint named
 */
export async function divergenceReported(
  failure: ExpectedError,
  runDirectory: string,
  latest: readonly StepRecord[],
  latestText: () => Promise<StepText>,
): Promise<ExpectedError> {
  const path = join(runDirectory, 'divergence.json');
  const last = latest.at(-1);
  const checkpoint = (await listCheckpoints(runDirectory)).at(-1);
  const report = {
    step: last?.step ?? null,
    // JSON knows neither NaN nor Infinity.
    loss: String(last?.loss),
    gradientNorm: String(last?.gradientNorm),
    text: await latestText().catch((error: unknown) => ({ unknown: (error as Error).message })),
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
  return new ExpectedError(failure.kind, `${failure.message}\nReport: ${path}. ${before}`, { cause: failure });
}

/**
 * An untrained model knows nothing: it gives each of V tokens about 1/V, a loss of ln V. Another first loss means that
 * the initialisation or the targets are wrong.
 * @param loss validation loss at step 0, nats per token
 */
export function firstLossWarning(loss: number, vocabularySize: number): string | undefined {
  const expected = Math.log(vocabularySize);
  if (vocabularySize < 2 || Math.abs(loss - expected) <= 0.3 * expected) return undefined;
  return (
    `the loss before training is ${loss.toFixed(3)}, an untrained model of ${vocabularySize} tokens has about ` +
    `ln ${vocabularySize} = ${expected.toFixed(3)}: check the initialisation and the tokenizer`
  );
}

/** TensorFlow's failure to allocate, told as the keys that help; any other error as it is. */
export function memoryExplained(error: unknown): unknown {
  const isMemory =
    error instanceof Error &&
    /OOM when allocating|RESOURCE_EXHAUSTED|ResourceExhausted|std::bad_alloc|Array buffer allocation failed/.test(
      error.message,
    );
  if (!isMemory) return error;
  return environmentFailure(
    'The memory is not enough for this run. Lower training.microBatchSize (and raise training.microBatchesPerStep to ' +
      'keep the tokens of a step), model.contextLength or model.width, in this order.',
    { cause: error },
  );
}
