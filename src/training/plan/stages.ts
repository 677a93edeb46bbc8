/**
 * The stages of a run: in each, every step has the same number of micro-batches and the same context length. A window
 * of the corpus always has the model's context length; in a stage with a shorter one it is trained as several windows
 * one after the other. So the sequence of windows does not depend on the stages, and nothing is lost or repeated.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Config } from '../../config/schema.ts';
import { stepsOf, valueAfter, valuesOf } from '../../config/sections/stages.ts';
import { wrongInput } from '../../errors.ts';
import { microBatchRows } from '../step/branches.ts';

type StagedConfig = Pick<Config, 'model' | 'training'>;

export interface RunStage {
  /** Updates before the stage. */
  fromStep: number;
  microBatchesPerStep: number;
  contextLength: number;
}

/** In order, the first from step 0. @param steps of the whole run; stages that would have no step are not there */
export function runStages({ model, training }: StagedConfig, steps: number): RunStage[] {
  const settings = [training.microBatchesPerStep, training.contextLength ?? model.contextLength] as const;
  const starts = settings.flatMap((setting) =>
    typeof setting === 'number' ? [] : setting.map(({ from }) => stepsOf(from, steps)),
  );
  const borders = [...new Set([0, ...starts])].filter((step) => step === 0 || step < steps).sort((a, b) => a - b);
  return borders.map((fromStep) => {
    const [microBatchesPerStep, contextLength] = settings.map((setting) => valueAfter(setting, fromStep, steps));
    return { fromStep, microBatchesPerStep: microBatchesPerStep!, contextLength: contextLength! };
  });
}

/** The stage of update `update`, from 0. */
export const stageAt = <S extends Pick<RunStage, 'fromStep'>>(stages: readonly S[], update: number): S =>
  stages.findLast(({ fromStep }) => fromStep <= update)!;

/** Σ of `amountOf(stage)` over the updates before `update`. */
export const sumBefore = <S extends Pick<RunStage, 'fromStep'>>(
  stages: readonly S[],
  update: number,
  amountOf: (stage: S) => number,
): number =>
  stages.reduce((sum, stage, i) => {
    const end = Math.min(update, stages[i + 1]?.fromStep ?? Infinity);
    return sum + Math.max(0, end - stage.fromStep) * amountOf(stage);
  }, 0);

/** Micro-batches that are trained on before update `update`. */
export const microBatchesBefore = (stages: readonly RunStage[], update: number): number =>
  sumBefore(stages, update, ({ microBatchesPerStep }) => microBatchesPerStep);

/** Tokens of a micro-batch, padding included: the same in every stage. */
export const microBatchTokens = ({ model, training }: StagedConfig): number =>
  microBatchRows(training) * model.contextLength;

/** The config of the steps of a stage. */
export const stageConfig = <C extends StagedConfig>(
  config: C,
  { microBatchesPerStep, contextLength }: Omit<RunStage, 'fromStep'>,
): C => ({
  ...config,
  training: { ...config.training, microBatchesPerStep, contextLength: [{ from: 0, value: contextLength }] },
});

/** The config of the steps at the end of a run, for which most is known: all of a run without stages. */
export const lastStageConfig = <C extends StagedConfig>(config: C): C =>
  stageConfig(config, {
    microBatchesPerStep: valuesOf(config.training.microBatchesPerStep).at(-1)!,
    contextLength: config.model.contextLength,
  });

/** FLOPs of the mean step of a run, relative to those of a step of its last stage. */
export function meanStep({
  stages,
  tokensPerStep,
  flopsPerToken,
}: {
  stages: readonly { tokensPerStep: number; flopsPerToken: number }[];
  tokensPerStep: number;
  flopsPerToken: number;
}): number {
  const last = stages.at(-1)!;
  return (tokensPerStep * flopsPerToken) / (last.tokensPerStep * last.flopsPerToken);
}

/** The fewest steps in which a run trains on `tokens`. */
export function stepsForTokens(config: StagedConfig, tokens: number): number {
  const isEnough = (steps: number): boolean =>
    microBatchesBefore(runStages(config, steps), steps) * microBatchTokens(config) >= tokens;
  let [low, high] = [0, Math.ceil(tokens / microBatchTokens(config))]; // enough with one micro-batch a step
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (isEnough(middle)) high = middle;
    else low = middle;
  }
  return high;
}

/** @throws wrong input if updates that have been made were of other stages than those that the run has now */
export function refuseMovedStages(
  before: { config: StagedConfig; steps: number; made: number },
  config: StagedConfig,
  steps: number,
): void {
  const { made } = before;
  const past = (of: StagedConfig, length: number): RunStage[] =>
    runStages(of, length).filter(({ fromStep }) => fromStep < made);
  if (isDeepStrictEqual(past(before.config, before.steps), past(config, steps))) return;
  throw wrongInput(
    `The run has made ${made} of ${before.steps} steps, and stages of training.microBatchesPerStep or contextLength ` +
      `that are shares of the run would begin elsewhere in ${steps}. Resume it with its length, ` +
      `--set training.steps=${before.steps}, or start a new run.`,
  );
}

/** What is said of stages that have no step. */
export function emptyStageWarnings({ training }: Pick<Config, 'training'>, steps: number): string[] {
  return (['microBatchesPerStep', 'contextLength'] as const).flatMap((key) => {
    const setting = training[key];
    if (setting === null || typeof setting === 'number') return [];
    return setting.flatMap(({ from, value }, i) => {
      const start = stepsOf(from, steps);
      const next = setting[i + 1];
      if (start < (next === undefined ? steps : Math.min(steps, stepsOf(next.from, steps)))) return [];
      return [`training.${key} is never ${value}: the stage from ${from} has no step in a run of ${steps}.`];
    });
  });
}
