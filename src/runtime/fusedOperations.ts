/**
 * clm's own operations (fusedOperations.cc): the elementwise parts of a decoder in one pass over memory each. They stand
 * in for compositions of TensorFlow's operations, which remain where these do not run and are what tests hold them to.
 *
 * N rows · C width
 */
import os from 'node:os';
import type { Tensor } from '@tensorflow/tfjs-core';
import { environmentFailure } from '../errors.ts';
import { attributeTypes, boolAttribute, type Attribute } from './binding.ts';
import { loadOperations } from './capi.ts';
import { loadedTensorFlow } from './tensorflow.ts';

/** Their kernels run on one thread: with more cores to a branch than these, TensorFlow's own are no slower. */
const mostCores = 8;

/**
 * Registers the operations with the TensorFlow of this process, once.
 *
 * @returns false where they are not to be used: CLM_FUSED_OPERATIONS=0, or a machine of many cores
 * @throws environment failure where the library does not load
 */
export function registerFusedOperations(operationsPath: string): boolean {
  if (process.env['CLM_FUSED_OPERATIONS'] === '0' || os.availableParallelism() > mostCores) return false;
  let failed: number;
  try {
    failed = loadOperations(operationsPath);
  } catch (error) {
    throw environmentFailure(`clm's own operations do not load (${(error as Error).message}): run "npm run setup".`);
  }
  if (failed !== 0) throw new Error(`operation ${failed} of fusedOperations.cc could not be registered`);
  return true;
}

/** May the operations below be used in this process? */
export const hasFusedOperations = (): boolean => loadedTensorFlow().hasFusedOperations;

const execute = (name: string, attributes: Attribute[], inputs: Tensor[], outputs: number): Tensor[] =>
  loadedTensorFlow().backend.executeMultipleOutputs(name, attributes, inputs, outputs);

/** x of any shape → GELU in the tanh form, same shape. */
export const fusedGelu = (x: Tensor): Tensor => execute('ClmGelu', [], [x], 1)[0]!;

export const fusedGeluGradient = (x: Tensor, dy: Tensor): Tensor => execute('ClmGeluGrad', [], [x, dy], 1)[0]!;

/** gate · sigmoid(gate) · up, all of one shape. */
export const fusedSwiglu = (gate: Tensor, up: Tensor): Tensor => execute('ClmSwiglu', [], [gate, up], 1)[0]!;

/** → gradients by gate and up. */
export const fusedSwigluGradient = (gate: Tensor, up: Tensor, dy: Tensor): Tensor[] =>
  execute('ClmSwigluGrad', [], [gate, up, dy], 2);

/** LayerNorm is centred, RMSNorm is not. */
export interface NormKind {
  epsilon: number;
  centred: boolean;
}

const normAttributes = ({ epsilon, centred }: NormKind): Attribute[] => [
  { name: 'epsilon', type: attributeTypes.float, value: epsilon },
  boolAttribute('centred', centred),
];

/** x (N, C), gain (C) → [y (N, C), mean (N), 1/deviation (N)]; the last two are for the gradient. */
export const fusedNorm = (x: Tensor, gain: Tensor, kind: NormKind): Tensor[] =>
  execute('ClmNorm', normAttributes(kind), [x, gain], 3);

/** → gradients by x and gain. */
export const fusedNormGradient = (x: Tensor, gain: Tensor, mean: Tensor, inverse: Tensor, dy: Tensor, kind: NormKind): Tensor[] =>
  execute('ClmNormGrad', normAttributes(kind), [x, gain, mean, inverse, dy], 2);
