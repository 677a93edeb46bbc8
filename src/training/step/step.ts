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
import type { MicroBatch } from '../../data/windows/batches.ts';
import type { ParameterSpec } from '../../model/parameters.ts';
import { accumulate } from '../../ops/sums.ts';
import type { InputSpec, Session } from '../../runtime/session.ts';
import { elementCount } from '../../tensors/tensors.ts';
import { lossAndGradients, lossFeeds, lossInputs } from './gradients.ts';
import type { SkipReason } from '../../run/metrics.ts';
import { skipReason } from './guard.ts';
import { readFrozen, readTrained, recordUpdate, updateFeeds, updateInputs } from './update.ts';

export interface StepResult {
  /** Mean over the step's targets, before the update; nats per token. */
  loss: number;
  /** Global norm of the gradient before clipping. */
  gradientNorm: number;
  /** Why the update was not made; null if it was. */
  skipped: SkipReason | null;
}

/** Makes update `step` (from 1) with these micro-batches. */
export type TrainingStep = (microBatches: MicroBatch[], step: number, learningRate: number) => Promise<StepResult>;

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
    const { loss, gradients } = lossAndGradients(session, config, table, parameters, feeds);
    return { loss, ...recordUpdate(config, table, variables, trained, gradients, loss, feeds) };
  });
  return async ([microBatch], step, learningRate) => {
    const result = await program.run({
      ...lossFeeds(microBatch!, 1 / microBatch!.targetCount, step - 1),
      ...updateFeeds(config, step, learningRate),
    });
    return stepResult(result.loss[0]!, result);
  };
}

/**
 * Several micro-batches: each adds its gradients to variables as they come, then one update. Every micro-batch is
 * weighted by its share of the step's targets, so k micro-batches equal one batch of their size.
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
    const { loss, gradients } = lossAndGradients(session, config, table, parameters, feeds);
    table.forEach(({ name }, i) => accumulate(variables, gradientName(name), gradients[i]!, feeds.hasBegun));
    return { loss };
  });
  const finishInputs = { ...updateInputs(config), loss: scalar };
  const finish = session.program('update', finishInputs, (feeds, variables) => {
    const gradients = table.map(({ name }) => variables.read(gradientName(name)));
    const parameters = readTrained(config, variables, table);
    return recordUpdate(config, table, variables, parameters, gradients, feeds.loss, feeds);
  });
  return async (microBatches, step, learningRate) => {
    const targets = microBatches.reduce((count, microBatch) => count + microBatch.targetCount, 0);
    let loss = 0;
    for (const [i, microBatch] of microBatches.entries()) {
      const counter = (step - 1) * microBatchesPerStep + i;
      const hasBegun = Float32Array.of(i === 0 ? 0 : 1);
      const result = await accumulation.run({ ...lossFeeds(microBatch, 1 / targets, counter), hasBegun });
      loss += result.loss[0]!;
    }
    return stepResult(
      loss,
      await finish.run({ ...updateFeeds(config, step, learningRate), loss: Float32Array.of(loss) }),
    );
  };
}

const stepResult = (loss: number, update: Record<'gradientNorm' | 'skipped', Float32Array>): StepResult => ({
  loss,
  gradientNorm: update.gradientNorm[0]!,
  skipped: skipReason(update.skipped[0]!),
});
