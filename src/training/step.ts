/**
 * One training step (rows 9 to 11 of the walk): micro-batches → logits → loss → gradients → clip → update,
 * as programs of a session: recorded once and run as one call, or run eagerly operation by operation.
 *
 * B micro-batch size · T context length · N = B·T
 */
import { add, div, minimum, mul, scalar, sqrt, valueAndGrads, zerosLike, type Tensor } from '@tensorflow/tfjs-core';
import type { Config } from '../config/schema.ts';
import type { MicroBatch } from '../data/batches.ts';
import type { Parameters } from '../model/decoderPass.ts';
import { elementCount, type ParameterSpec } from '../model/parameters.ts';
import { addAll, halfSquaredNorm } from '../runtime/operations.ts';
import { updatesAfter } from '../runtime/recording.ts';
import type { InputSpec, Program, Session } from '../runtime/session.ts';
import type { Variables } from '../runtime/variables.ts';
import { adamWScalars, applyAdamW } from './adamw.ts';
import { microBatchInputs, microBatchLoss, type MicroBatchShape } from './microBatchLoss.ts';

export interface StepResult {
  /** Mean over the step's targets, before the update; nats per token. */
  loss: number;
  /** Global norm of the gradient before clipping. */
  gradientNorm: number;
}

/** Makes update `step` (from 1) with these micro-batches. */
export type TrainingStep = (microBatches: MicroBatch[], step: number, learningRate: number) => Promise<StepResult>;

const gradientName = (parameter: string): string => `${parameter}/gradient`;

/** Records the programs of a training step over the session's variables (parameters and moments). */
export async function recordTrainingStep(
  session: Session,
  config: Config,
  table: readonly ParameterSpec[],
): Promise<TrainingStep> {
  const { microBatchesPerStep } = config.training;
  return microBatchesPerStep === 1
    ? wholeStep(session, config, table)
    : accumulatedStep(session, config, table, microBatchesPerStep);
}

/** One micro-batch: gradients go straight into the update, in one program. */
function wholeStep(session: Session, config: Config, table: readonly ParameterSpec[]): TrainingStep {
  const inputs = { ...lossInputs(session, config), ...updateInputs };
  const program = session.program('step', inputs, (feeds, variables) => {
    const parameters = readParameters(variables, table);
    const { loss, gradients } = lossAndGradients(session, config, table, parameters, feeds);
    return { loss, gradientNorm: update(config, table, variables, parameters, gradients, feeds) };
  });
  return async ([microBatch], step, learningRate) => {
    const result = await program.run({
      ...microBatchFeeds(microBatch!, 1 / microBatch!.targetCount, step - 1),
      ...updateFeeds(config, step, learningRate),
    });
    return { loss: result['loss']![0]!, gradientNorm: result['gradientNorm']![0]! };
  };
}

/**
 * Several micro-batches: each adds its gradients to variables, then one update. Every micro-batch is
 * weighted by its share of the step's targets, so k micro-batches equal one batch of their size.
 */
async function accumulatedStep(
  session: Session,
  config: Config,
  table: readonly ParameterSpec[],
  microBatchesPerStep: number,
): Promise<TrainingStep> {
  await session.addVariables(
    table.map(({ name, shape }) => ({ name: gradientName(name), shape, values: new Float32Array(elementCount(shape)) })),
  );
  const accumulate: Program = session.program('accumulate', lossInputs(session, config), (feeds, variables) => {
    const { loss, gradients } = lossAndGradients(session, config, table, readParameters(variables, table), feeds);
    updatesAfter(gradients, () => {
      table.forEach(({ name }, i) => variables.assignAdd(gradientName(name), gradients[i]!));
    });
    return { loss };
  });
  const finish: Program = session.program('update', updateInputs, (feeds, variables) => {
    const gradients = table.map(({ name }) => variables.read(gradientName(name)));
    const gradientNorm = update(config, table, variables, readParameters(variables, table), gradients, feeds);
    updatesAfter([gradientNorm], () => {
      table.forEach(({ name }, i) => variables.assign(gradientName(name), zerosLike(gradients[i]!)));
    });
    return { gradientNorm };
  });
  return async (microBatches, step, learningRate) => {
    const targets = microBatches.reduce((count, microBatch) => count + microBatch.targetCount, 0);
    let loss = 0;
    for (const [i, microBatch] of microBatches.entries()) {
      const counter = (step - 1) * microBatchesPerStep + i;
      const result = await accumulate.run(microBatchFeeds(microBatch, 1 / targets, counter));
      loss += result['loss']![0]!;
    }
    const result = await finish.run(updateFeeds(config, step, learningRate));
    return { loss, gradientNorm: result['gradientNorm']![0]! };
  };
}

const readParameters = (variables: Variables, table: readonly ParameterSpec[]): Parameters =>
  Object.fromEntries(table.map(({ name }) => [name, variables.read(name)]));

/** The micro-batch's share of the mean loss, and its gradient by every parameter in the table's order. */
function lossAndGradients(
  session: Session,
  config: Config,
  table: readonly ParameterSpec[],
  parameters: Parameters,
  feeds: Record<string, Tensor>,
): { loss: Tensor; gradients: Tensor[] } {
  const { model, seed } = config;
  const dropout = model.dropout > 0 ? { rate: model.dropout, seed, counter: feeds['dropoutCounter']! } : null;
  const lossOf = (...values: Tensor[]): Tensor => {
    const named = Object.fromEntries(table.map(({ name }, i) => [name, values[i]!]));
    return mul(microBatchLoss(named, feeds, shapeOf(session, config), dropout), feeds['lossScale']!);
  };
  const { value, grads } = valueAndGrads(lossOf)(table.map(({ name }) => parameters[name]!));
  return { loss: value, gradients: grads };
}

/** Clips by the global norm and applies the optimizer; returns the norm before clipping. */
function update(
  config: Config,
  table: readonly ParameterSpec[],
  variables: Variables,
  parameters: Parameters,
  gradients: readonly Tensor[],
  feeds: Record<string, Tensor>,
): Tensor {
  const norm = sqrt(mul(addAll(gradients.map(halfSquaredNorm)), 2));
  const { gradientClip } = config.optimizer;
  // As torch.nn.utils.clip_grad_norm_: the small number keeps a zero norm from dividing.
  const factor = gradientClip === null ? null : minimum(div(scalar(gradientClip), add(norm, 1e-6)), 1);
  // The norm needs every gradient, so all variables have been read for the last time when it is known.
  updatesAfter([norm], () => {
    table.forEach((spec, i) => {
      const gradient = factor === null ? gradients[i]! : mul(gradients[i]!, factor);
      applyAdamW(variables, spec, config.optimizer, {
        parameter: parameters[spec.name]!,
        gradient,
        learningRate: feeds['learningRate']!,
        beta1Power: feeds['beta1Power']!,
        beta2Power: feeds['beta2Power']!,
        epsilon: feeds['epsilon']!,
      });
    });
  });
  return norm;
}

const float: InputSpec = { shape: [], dtype: 'float32' };
const updateInputs = { learningRate: float, beta1Power: float, beta2Power: float, epsilon: float };

const shapeOf = ({ branches }: Session, { model, training }: Config): MicroBatchShape => ({
  model,
  microBatchSize: training.microBatchSize,
  branches,
});

const lossInputs = (session: Session, config: Config): Record<string, InputSpec> => ({
  ...microBatchInputs(shapeOf(session, config)),
  lossScale: float,
  ...(config.model.dropout > 0 && { dropoutCounter: { shape: [], dtype: 'int32' } as const }),
});

const microBatchFeeds = ({ inputs, targets, weights }: MicroBatch, lossScale: number, counter: number) => ({
  inputs,
  targets,
  weights,
  lossScale: Float32Array.of(lossScale),
  dropoutCounter: Int32Array.of(counter),
});

function updateFeeds(config: Config, step: number, learningRate: number): Record<string, Float32Array> {
  const scalars = { learningRate, ...adamWScalars(config.optimizer, step) };
  return Object.fromEntries(Object.entries(scalars).map(([name, value]) => [name, Float32Array.of(value)]));
}
