/**
 * An optimizer is three plain functions. Its state belongs to a parameter by the parameter's path, so nothing depends
 * on an order; the session holds the state as variables, and checkpoints contain it.
 */
import type { Tensor } from '../../tfjs.ts';
import type { NamedTensor } from '../../tensors/tensors.ts';
import type { Config } from '../../config/schema.ts';
import type { ParameterSpec } from '../../model/parameters.ts';
import type { Variables } from '../../runtime/variables.ts';

export type OptimizerConfig = Config['optimizer'];

/** One parameter and what its update is computed from. @typeParam S names of the optimizer's scalars */
export interface ParameterUpdate<S extends string> {
  spec: ParameterSpec;
  /** The variable that holds the parameter. */
  variable: string;
  /** Its value before the update. */
  parameter: Tensor;
  /** Of the parameter's shape. */
  gradient: Tensor;
  /** The scalar that the gradient is multiplied by to clip it; null without clipping. */
  gradientFactor: Tensor | null;
  /** Those of `Optimizer.scalars`, and the learning rate of this update. */
  scalars: Readonly<Record<S | 'learningRate', Tensor>>;
}

/** @typeParam S names of its scalars */
export interface Optimizer<S extends string = string> {
  /** The state of one parameter before the first update; names begin with the parameter's. */
  initialState(spec: ParameterSpec): NamedTensor[];
  /** The scalars that change from update to update, for update `t` (from 1): fed to the recorded step. */
  scalars(config: OptimizerConfig, t: number): Record<S, number>;
  /** Records the update of one parameter and of its state. */
  apply(variables: Variables, config: OptimizerConfig, update: ParameterUpdate<S>): void;
}
