/** Clip by the global norm, gate against bad updates, optimizer, running mean of the weights. */
import { add, div, minimum, mul, scalar, sqrt, sub, type Tensor } from '../../tfjs.ts';
import type { Config } from '../../config/schema.ts';
import { storedParameters } from '../../model/decoderPass.ts';
import type { ParameterSpec } from '../../model/parameters.ts';
import { halfSquaredNorm, sumOfScalars } from '../../ops/sums.ts';
import { computedAfter, updatesIf } from '../../runtime/recording.ts';
import { mapValues, type InputSpec, type Values } from '../../runtime/session.ts';
import type { StoredWeight, Variables } from '../../runtime/variables.ts';
import { gate } from './guard.ts';
import { optimizerOf } from '../optimizers/kinds.ts';
import { averageShare, trainedName } from './trainingState.ts';

type Tensors = Readonly<Record<string, Tensor>>;

/** The weights being trained, by the names of the table. */
export const readTrained = (config: Config, variables: Variables, table: readonly ParameterSpec[]): Tensors =>
  Object.fromEntries(table.map(({ name }) => [name, variables.read(trainedName(config, name))]));

/** The weights that are not trained, which have no gradient, by the names of the table. */
export const readFrozen = (variables: Variables, table: readonly ParameterSpec[]): Record<string, StoredWeight> =>
  storedParameters(table, variables);

/**
 * Records the update, which is made only if the gate lets it through.
 *
 * @param parameters what `readTrained` read @param gradients in the table's order @param loss mean of the step
 * @param feeds the tensors of `updateInputs`
 * @returns the norm before clipping and the gate's code (see `skipReason`)
 */
export function recordUpdate(
  config: Config,
  table: readonly ParameterSpec[],
  variables: Variables,
  parameters: Tensors,
  gradients: readonly Tensor[],
  loss: Tensor,
  feeds: Tensors,
): { gradientNorm: Tensor; skipped: Tensor } {
  const { gradientClip } = config.optimizer;
  const optimizer = optimizerOf(config.optimizer);
  const gradientNorm = sqrt(mul(sumOfScalars(gradients.map(halfSquaredNorm)), 2));
  // As torch.nn.utils.clip_grad_norm_: the small number keeps a zero norm from dividing.
  const gradientFactor = gradientClip === null ? null : minimum(div(scalar(gradientClip), add(gradientNorm, 1e-6)), 1);
  const { skipped, isApplied, remember } = gate(config.training.guard, variables, { loss, gradientNorm });
  // The norm needs every gradient, so once it is known nothing reads the variables any more, and the activations are no
  // longer in memory.
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

/** The inputs of a program that updates. */
export const updateInputs = (config: Config): Record<string, InputSpec> =>
  mapValues(scalarsOf(config, 1, 0), () => ({ shape: [], dtype: 'float32' }));

/** The values of `updateInputs` for update `step` (from 1). */
export const updateFeeds = (config: Config, step: number, learningRate: number): Record<string, Values> =>
  mapValues(scalarsOf(config, step, learningRate), (value) => Float32Array.of(value));
