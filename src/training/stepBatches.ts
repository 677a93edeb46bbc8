/** The micro-batches of a run, step by step, read in the background while the step before is computed. */
import { backgroundSequence } from '../data/windows/backgroundSequence.ts';
import type { TrainingBatch } from '../data/windows/batches.ts';
import type { Cursor } from '../data/windows/cursor.ts';
import type { SequenceOptions } from '../data/windows/mixture.ts';
import type { PreparedPlan } from './plan/preparePlan.ts';
import { microBatchesBefore, stageAt } from './plan/stages.ts';

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

/**
 * Opens the endless training sequence at `cursor`, or at its start; reading begins at once.
 *
 * @param made updates before it
 */
export function openStepBatches(source: SequenceSource, cursor?: Cursor, made = 0): StepBatches {
  const { config, corpus, tokenizer, plan } = source;
  const { overfitBatch } = config.training;
  let step = made;
  const options = { ...sequenceOptions(source), tokenizingWorkers: config.corpus.workers };
  const sequence = overfitBatch
    ? repeated(backgroundSequence(corpus, tokenizer, options), plan.stages[0]!.microBatchesPerStep)
    : backgroundSequence(corpus, tokenizer, options, cursor);
  let waitedMs = 0;
  const takeNext = () => take(sequence, stageAt(plan.stages, step++).microBatchesPerStep);
  let upcoming = takeNext();
  return {
    next: async () => {
      const startMs = performance.now();
      const microBatches = await upcoming;
      waitedMs += performance.now() - startMs;
      upcoming = takeNext();
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
  const { microBatchSize } = training;
  return {
    seed,
    contextLength: model.contextLength,
    microBatchSize,
    shuffleTokens: corpus.shuffleTokens,
    totalWindows: microBatchesBefore(plan.stages, plan.steps) * microBatchSize,
    stages: plan.stages.map(({ fromStep, microBatchesPerStep }) => ({
      fromStep,
      windowsPerStep: microBatchesPerStep * microBatchSize,
    })),
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
