/**
 * The training sequence of a corpus: its own, or several sources mixed by weight. Between rows 7 and 8 of the walk.
 * Every source has windows, order and epochs of its own; the mixture only chooses whose window comes next, so that the
 * shares are those of the tokens in them, padding not counted. It chooses the source that is owed the most, so that
 * after any number of windows no source is a whole window or more from its share, and needs no randomness.
 */
import { weightAt } from '../../config/sections/corpus.ts';
import { trainingBatches } from './batches.ts';
import type { MicroBatch, TrainingBatch, TrainingBatchOptions } from './batches.ts';
import type { Corpus, MixtureSource, Packing } from '../files/corpus.ts';
import { startCursor } from './cursor.ts';
import type { Cursor } from './cursor.ts';
import type { Tokenizer } from '../tokenizers/tokenizer.ts';

export interface SequenceOptions extends TrainingBatchOptions {
  /** Windows of the whole run, over which weights go to their final values; undefined where none does. */
  readonly totalWindows?: number | undefined;
  /** Windows of an update, where weights are given at steps; else one, if it is not given. */
  readonly windowsPerStep?: number | undefined;
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
  const { microBatchSize, contextLength, totalWindows, windowsPerStep = 1 } = options;
  const places: SourcePlace[] =
    cursor.mixture?.map((place) => ({ ...place })) ??
    mixture.map((source) => ({ owed: 0, windows: 0, tokens: 0, cursor: startCursor(corpusOf(corpus, source)) }));
  const streams = mixture.map((source, i) =>
    trainingBatches(
      corpusOf(corpus, source),
      tokenizer,
      { ...options, microBatchSize: 1 },
      { version: 1, ...places[i]!.cursor },
    ),
  );
  let windows = places.reduce((sum, place) => sum + place.windows, 0);
  try {
    for (;;) {
      const batch = emptyBatch(microBatchSize * contextLength, corpus.packing);
      for (let row = 0; row < microBatchSize; row++) {
        const shares = sharesAt(
          mixture,
          windows / windowsPerStep,
          totalWindows === undefined ? 0 : Math.min(1, windows / totalWindows),
        );
        const claim = (source: number): number => places[source]!.owed + shares[source]!;
        const chosen = places.reduce((best, _, source) => (claim(source) > claim(best) ? source : best), 0);
        const next = await streams[chosen]!.next();
        if (next.done === true) throw new Error('the windows of a source ended');
        addRow(batch, next.value, row * contextLength);
        const { version: _, mixture: __, ...position } = next.value.cursor;
        const { tokenCount } = next.value;
        const filled = tokenCount / contextLength; // a window with padding is less than one
        for (const [source, place] of places.entries()) place.owed += shares[source]! * filled;
        const { owed, windows: taken, tokens } = places[chosen]!;
        const counted = tokens === undefined ? {} : { tokens: tokens + tokenCount };
        places[chosen] = { owed: owed - filled, windows: taken + 1, ...counted, cursor: position };
        windows++;
      }
      yield { ...batch, cursor: { ...startCursor(corpus), mixture: places.map((place) => ({ ...place })) } };
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

/** The share of every source when `step` updates, `progress` (0 … 1) of the run, have been made; together 1. */
function sharesAt(mixture: readonly MixtureSource[], step: number, progress: number): number[] {
  const weights = mixture.map((source) => weightAt(source.weights, step, progress));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

type SourcePlace = NonNullable<Cursor['mixture']>[number];

interface GrowingBatch extends MicroBatch {
  targetCount: number;
  tokenCount: number;
}

const emptyBatch = (places: number, packing: Packing = 'concatenate'): GrowingBatch => ({
  inputs: new Int32Array(places),
  targets: new Int32Array(places),
  lossMask: new Float32Array(places),
  ...(packing === 'documents' && { positions: new Int32Array(places) }),
  targetCount: 0,
  tokenCount: 0,
});

function addRow(batch: GrowingBatch, row: TrainingBatch, start: number): void {
  batch.inputs.set(row.inputs, start);
  batch.targets.set(row.targets, start);
  batch.lossMask.set(row.lossMask, start);
  if (row.positions !== undefined) batch.positions!.set(row.positions, start);
  batch.targetCount += row.targetCount;
  batch.tokenCount += row.tokenCount;
}
