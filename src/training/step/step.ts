/**
 * One training step as programs of a session, recorded once and run as one call, or run eagerly. Its call tree:
 *
 *   wholeStep                                    one micro-batch, one program; accumulatedStep: several, two programs
 *   ├─ readTrained            update.ts          the weights being trained; readFrozen: those that are not
 *   ├─ lossAndGradients       gradients.ts       forward and backward: tfjs's valueAndGrads, in each branch, of
 *   │  └─ branchLoss          microBatchLoss.ts
 *   │     ├─ hiddenStatesOf   model/decoder.ts   tokens → residual stream, through every block
 *   │     └─ summedLoss       model/loss.ts      → logits → cross-entropy
 *   ├─ (accumulate            ops/sums.ts        adds the gradients of a micro-batch to those of the step)
 *   └─ recordUpdate           update.ts          gradient norm, clip
 *      ├─ gate                guard.ts           decides whether the update is made
 *      └─ optimizer.apply     optimizers/        weights and moments of each parameter
 */
import type { Config } from '../../config/schema.ts';
import type { ParameterSpec } from '../../model/parameters.ts';
import { accumulate } from '../../ops/sums.ts';
import type { InputSpec, Session } from '../../runtime/session.ts';
import { elementCount } from '../../tensors/tensors.ts';
import { lossAndGradients, lossFeeds, lossInputs } from './gradients.ts';
import { lossCount, preferenceMeans, type ScoredMicroBatch } from './microBatchLoss.ts';
import type { PreferenceMeans, SkipReason } from '../../run/metrics.ts';
import { skipReason } from './guard.ts';
import { readFrozen, readTrained, recordUpdate, updateFeeds, updateInputs } from './update.ts';

export interface StepResult {
  /** Mean over the step's targets, before the update, nats per token; of preference pairs the mean over the pairs. */
  loss: number;
  /** Of preference pairs. */
  preference: PreferenceMeans | null;
  /** Global norm of the gradient before clipping. */
  gradientNorm: number;
  /** Why the update was not made; null if it was. */
  skipped: SkipReason | null;
}

/** Makes update `step` (from 1) with these micro-batches. */
export type TrainingStep = (
  microBatches: ScoredMicroBatch[],
  step: number,
  learningRate: number,
) => Promise<StepResult>;

const gradientName = (parameter: string): string => `${parameter}/gradient`;

/**
 * Records the programs of a training step over the session's variables (the model and `trainingState`).
 *
 * @param table of the parameters that are trained @param frozen those that are not
 */
export async function recordTrainingStep(
  session: Session,
  config: Config,
  table: readonly ParameterSpec[],
  frozen: readonly ParameterSpec[] = [],
): Promise<TrainingStep> {
  const { microBatchesPerStep } = config.training;
  return microBatchesPerStep === 1
    ? wholeStep(session, config, table, frozen)
    : accumulatedStep(session, config, table, frozen, microBatchesPerStep);
}

/** One micro-batch: gradients go straight into the update, in one program. */
function wholeStep(
  session: Session,
  config: Config,
  table: readonly ParameterSpec[],
  frozen: readonly ParameterSpec[],
): TrainingStep {
  const inputs = { ...lossInputs(session, config), ...updateInputs(config) };
  const program = session.program('step', inputs, (feeds, variables) => {
    const trained = readTrained(config, variables, table);
    const parameters = { trained, frozen: readFrozen(variables, frozen) };
    const { loss, figures, gradients } = lossAndGradients(session, config, table, parameters, feeds);
    const update = recordUpdate(config, table, variables, trained, gradients, loss, feeds);
    return { figures, ...update };
  });
  return async (microBatches, step, learningRate) => {
    const result = await program.run({
      ...lossFeeds(microBatches[0]!, 1 / lossCount(microBatches), step - 1),
      ...updateFeeds(config, step, learningRate),
    });
    return stepResult([result.figures], result);
  };
}

/**
 * Several micro-batches: each adds its gradients to variables as they come, then one update. Every micro-batch is
 * weighted by its share of the step's targets or pairs, so k micro-batches equal one batch of their size.
 */
async function accumulatedStep(
  session: Session,
  config: Config,
  table: readonly ParameterSpec[],
  frozen: readonly ParameterSpec[],
  microBatchesPerStep: number,
): Promise<TrainingStep> {
  await session.addVariables(
    table.map(({ name, shape }) => ({
      name: gradientName(name),
      shape,
      values: new Float32Array(elementCount(shape)),
    })),
  );
  const scalar: InputSpec = { shape: [], dtype: 'float32' };
  const inputs = { ...lossInputs(session, config), hasBegun: scalar };
  const accumulation = session.program('accumulate', inputs, (feeds, variables) => {
    const parameters = { trained: readTrained(config, variables, table), frozen: readFrozen(variables, frozen) };
    const { figures, gradients } = lossAndGradients(session, config, table, parameters, feeds);
    table.forEach(({ name }, i) => accumulate(variables, gradientName(name), gradients[i]!, feeds.hasBegun));
    return { figures };
  });
  const finishInputs = { ...updateInputs(config), loss: scalar };
  const finish = session.program('update', finishInputs, (feeds, variables) => {
    const gradients = table.map(({ name }) => variables.read(gradientName(name)));
    const parameters = readTrained(config, variables, table);
    return recordUpdate(config, table, variables, parameters, gradients, feeds.loss, feeds);
  });
  return async (microBatches, step, learningRate) => {
    const count = lossCount(microBatches);
    const figures: Float32Array[] = [];
    for (const [i, microBatch] of microBatches.entries()) {
      const counter = (step - 1) * microBatchesPerStep + i;
      const hasBegun = Float32Array.of(i === 0 ? 0 : 1);
      figures.push((await accumulation.run({ ...lossFeeds(microBatch, 1 / count, counter), hasBegun })).figures);
    }
    const loss = Float32Array.of(lossOf(figures));
    return stepResult(figures, await finish.run({ ...updateFeeds(config, step, learningRate), loss }));
  };
}

/** The first of the figures is the loss. */
const lossOf = (figures: readonly Float32Array[]): number => figures.reduce((sum, [loss]) => sum + loss!, 0);

/** @param figures of each micro-batch, weighted by its share of the step */
const stepResult = (
  figures: readonly Float32Array[],
  update: Record<'gradientNorm' | 'skipped', Float32Array>,
): StepResult => ({
  loss: lossOf(figures),
  preference: figures[0]!.length === 1 ? null : preferenceMeans(figures, 1),
  gradientNorm: update.gradientNorm[0]!,
  skipped: skipReason(update.skipped[0]!),
});
