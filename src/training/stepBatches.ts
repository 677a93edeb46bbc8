/** The micro-batches of a run, step by step, read in the background while the step before is computed. */
import { backgroundSequence } from '../data/windows/backgroundSequence.ts';
import type { TrainingBatch } from '../data/windows/batches.ts';
import type { Cursor } from '../data/windows/cursor.ts';
import type { SequenceOptions } from '../data/windows/mixture.ts';
import type { PreparedPlan } from './plan/preparePlan.ts';

export interface StepBatches {
  /** The micro-batches of the next step; reading those after them begins. @throws what reading the corpus throws */
  next(): Promise<TrainingBatch[]>;
  /** How long `next` has waited for micro-batches so far. */
  waitedMs(): number;
  close(): Promise<void>;
}

interface SequenceSource extends Pick<PreparedPlan, 'config' | 'corpus' | 'tokenizer' | 'plan'> {
  onWarning?: ((message: string) => void) | undefined;
}

/** Opens the endless training sequence at `cursor`, or at its start; reading begins at once. */
export function openStepBatches(source: SequenceSource, cursor?: Cursor): StepBatches {
  const { config, corpus, tokenizer } = source;
  const { microBatchesPerStep, overfitBatch } = config.training;
  const options = { ...sequenceOptions(source), tokenizingWorkers: config.corpus.workers };
  const sequence = overfitBatch
    ? repeated(backgroundSequence(corpus, tokenizer, options), microBatchesPerStep)
    : backgroundSequence(corpus, tokenizer, options, cursor);
  let waitedMs = 0;
  let upcoming = take(sequence, microBatchesPerStep);
  return {
    next: async () => {
      const startMs = performance.now();
      const microBatches = await upcoming;
      waitedMs += performance.now() - startMs;
      upcoming = take(sequence, microBatchesPerStep);
      return microBatches;
    },
    waitedMs: () => waitedMs,
    close: async () => {
      await upcoming.catch(() => undefined); // a failure to read matters only if its micro-batches are used
      await sequence.return();
    },
  };
}

export function sequenceOptions({ config, plan, onWarning }: SequenceSource): SequenceOptions {
  const { seed, model, training, corpus } = config;
  const windowsPerStep = training.microBatchesPerStep * training.microBatchSize;
  return {
    seed,
    contextLength: model.contextLength,
    microBatchSize: training.microBatchSize,
    shuffleTokens: corpus.shuffleTokens,
    totalWindows: plan.steps * windowsPerStep,
    windowsPerStep,
    onWarning,
  };
}

/** The next `count` micro-batches. A rejection is handled where it is awaited, which may be later. */
function take(sequence: AsyncGenerator<TrainingBatch, void, void>, count: number): Promise<TrainingBatch[]> {
  const taken = (async () => {
    const batches: TrainingBatch[] = [];
    while (batches.length < count) {
      const next = await sequence.next();
      if (next.done) throw new Error('the stream of micro-batches ended');
      batches.push(next.value);
    }
    return batches;
  })();
  taken.catch(() => undefined);
  return taken;
}

/** The first `count` micro-batches of a sequence, over and over. */
async function* repeated(
  sequence: AsyncGenerator<TrainingBatch, void, void>,
  count: number,
): AsyncGenerator<TrainingBatch, void, void> {
  const first: TrainingBatch[] = [];
  for await (const batch of sequence) if (first.push(batch) === count) break;
  for (;;) yield* first;
}
