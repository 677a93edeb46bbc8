/**
 * The training sequence of a corpus: its own, or several sources mixed by weight. Between rows 7 and 8 of the walk.
 * Every source has windows, order and epochs of its own; the mixture only chooses whose window comes next, so that the
 * shares are those of windows and thus of tokens. It chooses the source that is owed the most, so that after any number
 * of windows no source is a whole window or more from its share, and needs no randomness.
 */
import { trainingBatches } from './batches.ts';
import type { MicroBatch, TrainingBatch, TrainingBatchOptions } from './batches.ts';
import type { Corpus, MixtureSource } from './corpus.ts';
import { startCursor } from './cursor.ts';
import type { Cursor } from './cursor.ts';
import type { Tokenizer } from './tokenizers/tokenizer.ts';

export interface SequenceOptions extends TrainingBatchOptions {
  /** Windows of the whole run, over which weights go to their final values; undefined where none does. */
  readonly totalWindows?: number | undefined;
}

/**
 * The micro-batches from `cursor` on, or from the start; they never end. Reading a mixture keeps two blocks of every
 * source in memory.
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
  const { microBatchSize, contextLength, totalWindows } = options;
  const places = cursor.mixture?.map((place) => ({ ...place })) ?? mixture.map((source) => ({ owed: 0, windows: 0, cursor: startCursor(corpusOf(corpus, source)) }));
  const streams = mixture.map((source, i) =>
    trainingBatches(corpusOf(corpus, source), tokenizer, { ...options, microBatchSize: 1 }, { version: 1, ...places[i]!.cursor }),
  );
  let windows = places.reduce((sum, place) => sum + place.windows, 0);
  try {
    for (;;) {
      const batch = emptyBatch(microBatchSize * contextLength);
      for (let row = 0; row < microBatchSize; row++) {
        const shares = sharesAt(mixture, totalWindows === undefined ? 0 : Math.min(1, windows / totalWindows));
        for (const [i, place] of places.entries()) place.owed += shares[i]!;
        const chosen = places.reduce((best, place, i) => (place.owed > places[best]!.owed ? i : best), 0);
        const next = await streams[chosen]!.next();
        if (next.done === true) throw new Error('the windows of a source ended');
        addRow(batch, next.value, row * contextLength);
        const { version: _, mixture: __, ...position } = next.value.cursor;
        places[chosen] = { owed: places[chosen]!.owed - 1, windows: places[chosen]!.windows + 1, cursor: position };
        windows++;
      }
      yield { ...batch, cursor: { ...startCursor(corpus), mixture: places.map((place) => ({ ...place })) } };
    }
  } finally {
    for (const stream of streams) await stream.return();
  }
}

/** A source of a mixture as a corpus of its own. */
export const corpusOf = (corpus: Corpus, { training, validation }: MixtureSource): Corpus => ({ ...corpus, training, validation, mixture: undefined });

/** The share of every source when `progress` (0 … 1) of the run is done; together 1. */
export function sharesAt(mixture: readonly MixtureSource[], progress: number): number[] {
  const weights = mixture.map(({ weight, finalWeight }) => weight + ((finalWeight ?? weight) - weight) * progress);
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

interface GrowingBatch extends MicroBatch {
  targetCount: number;
}

const emptyBatch = (places: number): GrowingBatch => ({
  inputs: new Int32Array(places),
  targets: new Int32Array(places),
  weights: new Float32Array(places),
  targetCount: 0,
});

function addRow(batch: GrowingBatch, row: MicroBatch, start: number): void {
  batch.inputs.set(row.inputs, start);
  batch.targets.set(row.targets, start);
  batch.weights.set(row.weights, start);
  batch.targetCount += row.targetCount;
}
