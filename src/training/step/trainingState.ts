/**
 * The variables that training needs besides the model. A checkpoint has them in optimizer.safetensors, for resuming.
 *
 * The variables with the parameters' own names are the model: they are evaluated, sampled and saved. Without a running
 * mean of the weights they are also the weights being trained; with one they are the mean, and the weights being
 * trained are variables of their own.
 */
import type { NamedTensor } from '../../tensors/tensors.ts';
import type { Config } from '../../config/schema.ts';
import type { ParameterSpec } from '../../model/parameters.ts';
import { guardState } from './guard.ts';
import { optimizerOf } from '../optimizers/kinds.ts';

type TrainingConfig = Pick<Config, 'optimizer' | 'training'>;

/** The variable that holds the weights being trained of a parameter. */
export const trainedName = ({ training }: TrainingConfig, parameter: string): string =>
  training.emaDecay === null ? parameter : `${parameter}/trained`;

/** The state before the first update. @param model the parameters to start from, in the order of the table */
export function trainingState(
  config: TrainingConfig,
  table: readonly ParameterSpec[],
  model: readonly NamedTensor[],
): NamedTensor[] {
  const optimizer = optimizerOf(config.optimizer);
  const trained =
    config.training.emaDecay === null
      ? []
      : model.map((tensor) => ({ ...tensor, name: trainedName(config, tensor.name) }));
  return [...table.flatMap((spec) => optimizer.initialState(spec)), ...trained, ...guardState(config.training.guard)];
}

/**
 * Share of the new weights in the running mean after update `t` (from 1). It begins high, so that the mean forgets the
 * untrained weights: the decay is at most (1 + t)/(10 + t).
 */
export const averageShare = (decay: number, t: number): number => 1 - Math.min(decay, (1 + t) / (10 + t));
