/**
 * What an optimizer is: three plain functions. State belongs to a parameter by
 * its path, so nothing depends on an order; the session holds it as variables and checkpoints carry it.
 */
import type { Tensor } from '@tensorflow/tfjs-core';
import type { NamedTensor } from '../../tensors/tensors.ts';
import type { Config } from '../../config/schema.ts';
import type { ParameterSpec } from '../../model/parameters.ts';
import type { Variables } from '../../runtime/variables.ts';

export type OptimizerConfig = Config['optimizer'];

/** One parameter and what its update is made of. */
interface ParameterUpdate {
  spec: ParameterSpec;
  /** The variable that holds the parameter. */
  variable: string;
  /** Its value before the update. */
  parameter: Tensor;
  /** Of the parameter's shape. */
  gradient: Tensor;
  /** What clips it, a scalar to multiply it by; null where nothing is clipped. */
  gradientFactor: Tensor | null;
  /** The scalars of `scalars`, and `learningRate`. */
  scalars: Readonly<Record<string, Tensor>>;
}

export interface Optimizer {
  /** The state of one parameter before the first update; names begin with the parameter's. */
  initialState(spec: ParameterSpec): NamedTensor[];
  /** The scalars that change from update to update, for update `t` (from 1): fed to the recorded step. */
  scalars(config: OptimizerConfig, t: number): Record<string, number>;
  /** Records the update of one parameter and of its state. */
  apply(variables: Variables, config: OptimizerConfig, update: ParameterUpdate): void;
}
