/** The update, the end of row 11: clip by the global norm, gate, optimizer, running mean of the weights. */
import { add, div, minimum, mul, scalar, sqrt, sub, type Tensor } from '@tensorflow/tfjs-core';
import type { Config } from '../../config/schema.ts';
import type { Parameters } from '../../model/decoderPass.ts';
import type { ParameterSpec } from '../../model/parameters.ts';
import { halfSquaredNorm, sumOfScalars } from '../../ops/operations.ts';
import type { InputSpec, Values } from '../../runtime/program.ts';
import { computedAfter, updatesIf } from '../../runtime/recording.ts';
import type { Variables } from '../../runtime/variables.ts';
import { gate } from './guard.ts';
import { optimizerOf } from '../optimizers/kinds.ts';
import { averageShare, trainedName } from './trainingState.ts';

/** The weights being trained, by the names of the table. */
export const readTrained = (config: Config, variables: Variables, table: readonly ParameterSpec[]): Parameters =>
  Object.fromEntries(table.map(({ name }) => [name, variables.read(trainedName(config, name))]));

/**
 * Records the update, or nothing where the gate keeps it out.
 *
 * @param parameters what `readTrained` read @param gradients in the table's order @param loss mean of the step
 * @param feeds the tensors of `updateInputs`
 * @returns the norm before clipping and the gate's code (see `skipReason`)
 */
export function recordUpdate(
  config: Config,
  table: readonly ParameterSpec[],
  variables: Variables,
  parameters: Parameters,
  gradients: readonly Tensor[],
  loss: Tensor,
  feeds: Record<string, Tensor>,
): { gradientNorm: Tensor; skipped: Tensor } {
  const { gradientClip } = config.optimizer;
  const optimizer = optimizerOf(config.optimizer);
  const gradientNorm = sqrt(mul(sumOfScalars(gradients.map(halfSquaredNorm)), 2));
  // As torch.nn.utils.clip_grad_norm_: the small number keeps a zero norm from dividing.
  const gradientFactor = gradientClip === null ? null : minimum(div(scalar(gradientClip), add(gradientNorm, 1e-6)), 1);
  const { skipped, isApplied, remember } = gate(config.training.guard, variables, { loss, gradientNorm });
  // The norm needs every gradient, so all variables have been read for the last time when it is known; what is computed
  // for an update and not before it is not in memory together with the activations.
  computedAfter([gradientNorm], () =>
    updatesIf(isApplied, () => {
      table.forEach((spec, i) => {
        const variable = trainedName(config, spec.name);
        const parameter = parameters[spec.name]!;
        const update = { spec, variable, parameter, gradient: gradients[i]!, gradientFactor, scalars: feeds };
        optimizer.apply(variables, config.optimizer, update);
        if (config.training.emaDecay !== null) {
          const difference = sub(variables.read(variable), variables.read(spec.name));
          variables.assignAdd(spec.name, mul(difference, feeds['averageShare']!));
        }
      });
      remember();
    }),
  );
  return { gradientNorm, skipped };
}

const scalarsOf = (config: Config, step: number, learningRate: number): Record<string, number> => ({
  learningRate,
  ...optimizerOf(config.optimizer).scalars(config.optimizer, step),
  ...(config.training.emaDecay !== null && { averageShare: averageShare(config.training.emaDecay, step) }),
});

/** What a program that updates is fed. */
export const updateInputs = (config: Config): Record<string, InputSpec> =>
  Object.fromEntries(Object.keys(scalarsOf(config, 1, 0)).map((name) => [name, { shape: [], dtype: 'float32' }]));

/** The values of `updateInputs` for update `step` (from 1). */
export const updateFeeds = (config: Config, step: number, learningRate: number): Record<string, Values> =>
  Object.fromEntries(
    Object.entries(scalarsOf(config, step, learningRate)).map(([name, value]) => [name, Float32Array.of(value)]),
  );
