/**
 * clm's own operations (native/kernels/*.cc): parts of a decoder in one pass over memory each. They stand in for compositions
 * of TensorFlow's operations, which remain where these do not run and are what tests hold them to.
 *
 * Their type T is that of the numbers between products. It is float32 here; bfloat16.ts makes it the other where
 * products are in it.
 *
 * N rows · C width
 */
import type { Tensor } from '@tensorflow/tfjs-core';
import { boolAttribute, floatAttribute, typeAttribute, type Attribute } from '../runtime/binding.ts';
import { dataTypes } from '../runtime/capi.ts';
import { loadedTensorFlow } from '../runtime/tensorflow.ts';

/** May the operations below be used in this process? */
export const hasFusedOperations = (): boolean => loadedTensorFlow().hasFusedOperations;

const productType = typeAttribute('T', dataTypes.float32);

const execute = (name: string, attributes: Attribute[], inputs: Tensor[], outputs: number): Tensor[] =>
  loadedTensorFlow().backend.executeMultipleOutputs(name, [productType, ...attributes], inputs, outputs);

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
  floatAttribute('epsilon', epsilon),
  boolAttribute('centred', centred),
];

/** x (N, C), gain (C) → [y (N, C), mean (N), 1/deviation (N)]; the last two are for the gradient. */
export const fusedNorm = (x: Tensor, gain: Tensor, kind: NormKind): Tensor[] =>
  execute('ClmNorm', normAttributes(kind), [x, gain], 3);

/** → gradients by x and gain. */
export const fusedNormGradient = (
  x: Tensor,
  gain: Tensor,
  mean: Tensor,
  inverse: Tensor,
  dy: Tensor,
  kind: NormKind,
): Tensor[] => execute('ClmNormGrad', normAttributes(kind), [x, gain, mean, inverse, dy], 2);

/**
 * softmax(scale·scores + mask): keys hidden at either end of a row are not even read.
 *
 * @param scores (B, K, G·T, S) @param mask (T, S) or (B, 1, 1, T, S), 0 or −1e9
 */
export const fusedAttentionWeights = (scores: Tensor, mask: Tensor, scale: number): Tensor =>
  execute('ClmAttentionWeights', [floatAttribute('scale', scale)], [scores, mask], 1)[0]!;

/** → the gradient by the scores. */
export const fusedAttentionWeightsGradient = (weights: Tensor, dWeights: Tensor, mask: Tensor, scale: number): Tensor =>
  execute('ClmAttentionWeightsGrad', [floatAttribute('scale', scale)], [weights, dWeights, mask], 1)[0]!;

/**
 * Self-attention of heads side by side, as their projection gave them; only where products are on tiles.
 *
 * @param projected (B, T, 3, K, D): queries, keys, values @param mask (T, T) or (B, 1, 1, T, T), 0 or −1e9
 * @returns [attended (B, T, K, D), weights (B, K, T, T) for the gradient]
 */
export const fusedHeadsAttention = (projected: Tensor, mask: Tensor): Tensor[] =>
  execute('ClmHeadsAttention', [], [projected, mask], 2);

/** → the gradient by what was projected. */
export const fusedHeadsAttentionGradient = (
  projected: Tensor,
  weights: Tensor,
  dAttended: Tensor,
  mask: Tensor,
): Tensor => execute('ClmHeadsAttentionGrad', [], [projected, weights, dAttended, mask], 1)[0]!;

/**
 * Attention of one new position of each slot to the filled ones before it and itself; no gradient.
 *
 * @param query (B, K, G, D) @param keys (B·K·S, D) @param values (B·K·S, D) @param positions (B) int32, below S
 * @returns (B, K, G, D)
 */
export const fusedCachedAttention = (query: Tensor, keys: Tensor, values: Tensor, positions: Tensor): Tensor =>
  loadedTensorFlow().backend.executeMultipleOutputs('ClmCachedAttention', [], [query, keys, values, positions], 1)[0]!;

/** logits (N, V), targets (N) int32, weights (N) → weight·(−ln p(target)) (N), and its gradient (N, V). */
export const fusedCrossEntropy = (logits: Tensor, targets: Tensor, weights: Tensor): Tensor[] =>
  execute('ClmCrossEntropy', [], [logits, targets, weights], 2);

/** stream + y, both of one shape: y is what a product gave. */
export const fusedAdd = (stream: Tensor, y: Tensor): Tensor => execute('ClmAdd', [], [stream, y], 1)[0]!;

/** x + y, both of one shape and what products gave, in float32. */
export const fusedSum = (x: Tensor, y: Tensor): Tensor => execute('ClmSum', [], [x, y], 1)[0]!;

/** matrix (V, C) with rows (N, C) added to those that ids (N) int32 name, in its memory where nobody else reads it. */
export const fusedAddRows = (matrix: Tensor, rows: Tensor, ids: Tensor): Tensor =>
  execute('ClmAddRows', [], [matrix, rows, ids], 1)[0]!;

/** ½ Σ x², a scalar. */
export const fusedHalfSquaredNorm = (x: Tensor): Tensor => execute('ClmHalfSquaredNorm', [], [x], 1)[0]!;
