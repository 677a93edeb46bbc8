/**
 * Stage: mixture. The training sequence of a corpus, or of several sources mixed by weight. Every source has its own
 * windows, order and epochs; the mixture chooses which source the next window comes from. Shares are shares of tokens,
 * without padding. The source furthest behind its share is next, so that no source is ever a whole window away from its
 * share, without randomness.
 */
import { weightAt } from '../../config/sections/corpus.ts';
import { emptyBatch, trainingBatches } from './batches.ts';
import type { GrowingBatch, TrainingBatch, TrainingBatchOptions } from './batches.ts';
import { rowsPerWindow } from '../files/corpus.ts';
import type { Corpus, MixtureSource } from '../files/corpus.ts';
import { startCursor } from './cursor.ts';
import type { Cursor } from './cursor.ts';
import type { Tokenizer } from '../tokenizers/tokenizer.ts';

export interface SequenceOptions extends TrainingBatchOptions {
  /** Windows of the whole run, over which weights change to their final values; undefined if none does. */
  readonly totalWindows?: number | undefined;
  /** Windows per step from some steps on, for weights given at steps. Default 1 from step 0 on. */
  readonly stages?: readonly { readonly fromStep: number; readonly windowsPerStep: number }[] | undefined;
}

/**
 * The endless micro-batches from `cursor` on, or from the start. A mixture keeps two blocks of every source in memory.
 * @throws wrongInput as trainingBatches
 */
export async function* trainingSequence(
  corpus: Corpus,
  tokenizer: Tokenizer,
  options: SequenceOptions,
  cursor: Cursor = startCursor(corpus),
): AsyncGenerator<TrainingBatch, void, void> {
  const { mixture } = corpus;
  if (mixture === undefined) {
    yield* trainingBatches(corpus, tokenizer, options, cursor);
    return;
  }
  const { microBatchSize, totalWindows, stages = [{ fromStep: 0, windowsPerStep: 1 }] } = options;
  const windowTokens = options.contextLength * rowsPerWindow(corpus.packing);
  const states: SourceState[] =
    cursor.mixture?.map((state) => ({ ...state })) ??
    mixture.map((source) => ({ owed: 0, windows: 0, tokens: 0, cursor: startCursor(corpusOf(corpus, source)) }));
  const streams = mixture.map((source, i) =>
    trainingBatches(
      corpusOf(corpus, source),
      tokenizer,
      { ...options, microBatchSize: 1 },
      { version: 1, ...states[i]!.cursor },
    ),
  );
  let windows = states.reduce((sum, state) => sum + state.windows, 0);
  try {
    for (;;) {
      const batch = emptyBatch(options, corpus.packing);
      for (let row = 0; row < microBatchSize; row++) {
        const shares = sharesAt(
          mixture,
          stepAfter(windows, stages),
          totalWindows === undefined ? 0 : Math.min(1, windows / totalWindows),
        );
        const deficit = (source: number): number => states[source]!.owed + shares[source]!;
        const chosen = states.reduce((best, _, source) => (deficit(source) > deficit(best) ? source : best), 0);
        const next = await streams[chosen]!.next();
        if (next.done === true) throw new Error('the windows of a source ended');
        addRow(batch, next.value, row * windowTokens);
        const { version: _, mixture: __, ...position } = next.value.cursor;
        const { tokenCount } = next.value;
        const filled = tokenCount / windowTokens; // a window with padding is less than one
        for (const [source, state] of states.entries()) state.owed += shares[source]! * filled;
        const { owed, windows: taken, tokens } = states[chosen]!;
        const counted = tokens === undefined ? {} : { tokens: tokens + tokenCount };
        states[chosen] = { owed: owed - filled, windows: taken + 1, ...counted, cursor: position };
        windows++;
      }
      yield { ...batch, cursor: { ...startCursor(corpus), mixture: states.map((state) => ({ ...state })) } };
    }
  } finally {
    for (const stream of streams) await stream.return();
  }
}

/** A source of a mixture as a corpus of its own. */
export const corpusOf = (corpus: Corpus, { training, validation }: MixtureSource): Corpus => ({
  ...corpus,
  training,
  validation,
  mixture: undefined,
});

/** The steps, and the part of one, that `windows` are enough for. */
function stepAfter(windows: number, stages: NonNullable<SequenceOptions['stages']>): number {
  let left = windows;
  for (const [i, { fromStep, windowsPerStep }] of stages.entries()) {
    const ofStage = ((stages[i + 1]?.fromStep ?? Infinity) - fromStep) * windowsPerStep;
    if (left < ofStage) return fromStep + left / windowsPerStep;
    left -= ofStage;
  }
  throw new Error('stages begin at step 0, and the last has no end');
}

/** The share of every source after `step` steps, which are `progress` (0 … 1) of the run. The sum is 1. */
function sharesAt(mixture: readonly MixtureSource[], step: number, progress: number): number[] {
  const weights = mixture.map((source) => weightAt(source.weights, step, progress));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

type SourceState = NonNullable<Cursor['mixture']>[number];

function addRow(batch: GrowingBatch, row: TrainingBatch, start: number): void {
  batch.inputs.set(row.inputs, start);
  batch.targets.set(row.targets, start);
  batch.lossMask.set(row.lossMask, start);
  if (row.positions !== undefined) batch.positions!.set(row.positions, start);
  batch.targetCount += row.targetCount;
  batch.tokenCount += row.tokenCount;
}
