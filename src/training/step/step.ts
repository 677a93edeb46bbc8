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
 *   ├─ (sumsOverProcesses     ops/exchange.ts    adds those of all processes)
 *   └─ recordUpdate           update.ts          gradient norm, clip
 *      ├─ gate                guard.ts           decides whether the update is made
 *      └─ optimizer.apply     optimizers/        weights and moments of each parameter
 */
import type { Tensor } from '../../tfjs.ts';
import type { Config } from '../../config/schema.ts';
import { constantOf } from '../../config/sections/stages.ts';
import type { ParameterSpec } from '../../model/parameters.ts';
import { sumsOverProcesses } from '../../ops/exchange.ts';
import { accumulate } from '../../ops/sums.ts';
import type { InputSpec, Session } from '../../runtime/session.ts';
import { elementCount } from '../../tensors/tensors.ts';
import { microBatchesBefore, runStages, stageAt, stageConfig, type RunStage } from '../plan/stages.ts';
import { figureCount, lossAndGradients, lossFeeds, lossInputs, lossOf, ownPartIn, sessionShare } from './gradients.ts';
import { lossCount, preferenceMeans, type ScoredMicroBatch } from './microBatchLoss.ts';
import type { PreferenceMeans, SkipReason } from '../../run/metrics.ts';
import { skipReason } from './guard.ts';
import { accumulation, sumsOf, sumTree } from './sumTree.ts';
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

/** Makes update `step` (from 1) with these micro-batches: all of the step, also if other processes compute some. */
export type TrainingStep = (
  microBatches: ScoredMicroBatch[],
  step: number,
  learningRate: number,
) => Promise<StepResult>;

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
  stages: readonly RunStage[] = runStages(config, 1),
): Promise<TrainingStep> {
  const counterOf = (step: number): number => microBatchesBefore(stages, step - 1);
  const sums = new Set<string>();
  const recorded = new Map<string, TrainingStep>();
  const nameOf = (stage: RunStage): string => `OfStage${stages.indexOf(stage)}`;
  for (const stage of stages) {
    const place = { suffix: stages.length === 1 ? '' : nameOf(stage), counterOf, sums };
    const ofStage = stageConfig(config, stage);
    const isWhole = sessionShare(session, ofStage).microBatches === 1;
    recorded.set(nameOf(stage), await (isWhole ? wholeStep : accumulatedStep)(session, ofStage, table, frozen, place));
  }
  return (microBatches, step, learningRate) =>
    recorded.get(nameOf(stageAt(stages, step - 1)))!(microBatches, step, learningRate);
}

/** What tells the programs of stages apart. */
interface StagePlace {
  /** Of the names of programs. */
  suffix: string;
  /** Micro-batches before step `step` (from 1). */
  counterOf(step: number): number;
  /** Names of the variables of gradient sums, which all stages use. */
  sums: Set<string>;
}

/** One micro-batch: gradients go straight into the update, in one program. */
function wholeStep(
  session: Session,
  config: Config,
  table: readonly ParameterSpec[],
  frozen: readonly ParameterSpec[],
  { suffix, counterOf }: StagePlace,
): TrainingStep {
  const { firstMicroBatch } = sessionShare(session, config);
  const partOf = ownPartIn(session, config);
  const inputs = { ...lossInputs(session, config), ...updateInputs(config) };
  const program = session.program(`step${suffix}`, inputs, (feeds, variables) => {
    const trained = readTrained(config, variables, table);
    const parameters = { trained, frozen: readFrozen(variables, frozen) };
    const own = lossAndGradients(session, config, table, parameters, feeds);
    const { figures, gradients } = overProcesses(session, own);
    const update = recordUpdate(config, table, variables, trained, gradients, lossOf(figures), feeds);
    return { figures, ...update };
  });
  return async (microBatches, step, learningRate) => {
    const counter = counterOf(step) + firstMicroBatch;
    const result = await program.run({
      ...lossFeeds(partOf(microBatches[firstMicroBatch]!), 1 / lossCount(microBatches), counter),
      ...updateFeeds(config, step, learningRate),
    });
    return stepResult(result);
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
  { suffix, counterOf, sums: known }: StagePlace,
): Promise<TrainingStep> {
  const share = sessionShare(session, config);
  const partOf = ownPartIn(session, config);
  const { inOrder } = sumTree(constantOf(config.training.microBatchesPerStep));
  const tree = { inOrder, blocks: share.microBatches / inOrder };
  const figuresSpec = { name: 'figures', shape: figureCount(config) === 1 ? [] : [figureCount(config)] };
  const summed = [figuresSpec, ...table];
  const sumNames = (name: string): string[] => Array.from({ length: sumsOf(tree) }, (_, i) => `${name}/gradient/${i}`);
  const missing = summed.flatMap(({ name, shape }) =>
    sumNames(name)
      .filter((sum) => !known.has(sum))
      .map((sum) => ({ name: sum, shape, values: new Float32Array(elementCount(shape)) })),
  );
  if (missing.length > 0) await session.addVariables(missing);
  for (const { name } of missing) known.add(name);
  const scalar: InputSpec = { shape: [], dtype: 'float32' };
  const inputs = { ...lossInputs(session, config), adds: scalar, into: scalar };
  const add = session.program(`accumulate${suffix}`, inputs, (feeds, variables) => {
    const parameters = { trained: readTrained(config, variables, table), frozen: readFrozen(variables, frozen) };
    const { figures, gradients } = lossAndGradients(session, config, table, parameters, feeds);
    [figures, ...gradients].forEach((value, i) =>
      accumulate(variables, sumNames(summed[i]!.name), value, feeds.adds, feeds.into),
    );
    return {};
  });
  const finish = session.program(`update${suffix}`, updateInputs(config), (feeds, variables) => {
    const sums = summed.map(({ name }) => variables.read(sumNames(name)[0]!));
    const { figures, gradients } = overProcesses(session, { figures: sums[0]!, gradients: sums.slice(1) });
    const parameters = readTrained(config, variables, table);
    return { figures, ...recordUpdate(config, table, variables, parameters, gradients, lossOf(figures), feeds) };
  });
  return async (microBatches, step, learningRate) => {
    const count = lossCount(microBatches);
    for (let i = 0; i < share.microBatches; i++) {
      const index = share.firstMicroBatch + i;
      const counter = counterOf(step) + index;
      const { adds, into } = accumulation(tree, i);
      await add.run({
        ...lossFeeds(partOf(microBatches[index]!), 1 / count, counter),
        adds: Float32Array.of(adds),
        into: Float32Array.of(into),
      });
    }
    return stepResult(await finish.run(updateFeeds(config, step, learningRate)));
  };
}

/** The sums over all processes of what each has summed up by itself. */
function overProcesses(
  { settings: { place } }: Session,
  own: { figures: Tensor; gradients: Tensor[] },
): { figures: Tensor; gradients: Tensor[] } {
  if (place === undefined) return own;
  const [figures, ...gradients] = sumsOverProcesses(place, [own.figures, ...own.gradients]) as [Tensor, ...Tensor[]];
  return { figures, gradients };
}

/** @param outputs figures weighted by their micro-batches' share of the step */
const stepResult = ({
  figures,
  gradientNorm,
  skipped,
}: Record<'figures' | 'gradientNorm' | 'skipped', Float32Array>): StepResult => ({
  loss: figures[0]!,
  preference: figures.length === 1 ? null : preferenceMeans([figures], 1),
  gradientNorm: gradientNorm[0]!,
  skipped: skipReason(skipped[0]!),
});
