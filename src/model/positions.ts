/**
 * How the decoder knows the order of its rows. Family gpt2 adds a learned vector of each position to the embedding;
 * family llama rotates queries and keys (RoPE, Su et al. 2021, https://arxiv.org/abs/2104.09864): number i of a head
 * and number i + D/2 are a point in the plane, turned by position · frequency_i, so that the product of a query and a
 * key depends on how far apart they stand. Halves rather than neighbours are paired, as in Hugging Face's weights.
 *
 * B micro-batch size · T positions · C width · K key/value heads · G queries of each · D head size
 */
import { add, cos, customGrad, mul, reshape, sin, slice, tensor1d, type Tensor } from '@tensorflow/tfjs-core';
import { integersAsFloats, swapHalves } from '../ops/operations.ts';
import { rowsOf } from '../runtime/weights.ts';
import type { DecoderPass, Parameters } from './decoderPass.ts';
import type { ModelConfig } from './parameters.ts';

/** tokens (N, C) → with the learned vectors of their positions added (N, C). */
export function addLearnedPositions(parameters: Parameters, tokens: Tensor, pass: DecoderPass): Tensor {
  const { batchSize: B, length: T, model } = pass;
  const all = parameters['embedding.positions']!; // (context length, C)
  const positionIds = positionIdsOf(pass);
  if (positionIds) return add(tokens, rowsOf(all, positionIds));
  const positions = T === model.contextLength ? all : slice(all, [0, 0], [T, model.width]);
  return reshape(add(reshape(tokens, [B, T, model.width]), positions), [B * T, model.width]);
}

/** (B·T) int32: the position of each row, where it is not its place in the window. */
const positionIdsOf = ({ cache, documentPositions }: DecoderPass): Tensor | null =>
  cache?.positionIds ?? documentPositions ?? null;

/** Cosines and sines by which the rows of a pass are turned, made once for all blocks. */
export interface Rotation {
  /** (T, D), or (B, 1, 1, T, D) where the rows have position ids. */
  cosines: Tensor;
  /** As `cosines`, the first half of each row negated. */
  signedSines: Tensor;
}

/** The rotation of a pass; null in a family that has none. Only D frequencies are constants of a recording. */
export function rotationOf(pass: DecoderPass): Rotation | null {
  const { model, batchSize: B, length: T } = pass;
  if (model.family === 'gpt2') return null;
  const D = model.headSize;
  const frequencies = ropeFrequencies(model);
  const positionIds = positionIdsOf(pass);
  const positions = positionIds
    ? integersAsFloats(positionIds)
    : tensor1d(Float32Array.from({ length: T }, (_, t) => t));
  const angles = mul(
    reshape(positions, positionIds ? [B, 1, 1, T, 1] : [T, 1]),
    tensor1d([...frequencies, ...frequencies]),
  );
  const signs = tensor1d(Array.from({ length: D }, (_, i) => (i < D / 2 ? -1 : 1)));
  return { cosines: cos(angles), signedSines: mul(sin(angles), signs) };
}

/**
 * Whether a layer (from 0) knows positions. Some models leave them out in every fourth (NoPE; Kazemnejad et al. 2023,
 * https://arxiv.org/abs/2305.19466): there the causal mask alone tells order.
 */
export const isRotated = ({ nopeEveryLayers }: ModelConfig, layer: number): boolean =>
  nopeEveryLayers === null || (layer + 1) % nopeEveryLayers !== 0;

/** The D/2 frequencies of RoPE, in radians a position. */
function ropeFrequencies({ headSize: D, ropeTheta, ropeScaling }: ModelConfig): number[] {
  const plain = Array.from({ length: D / 2 }, (_, i) => ropeTheta ** ((-2 * i) / D));
  if (ropeScaling === null) return plain;
  if (ropeScaling.kind === 'linear') return plain.map((frequency) => frequency / ropeScaling.factor);
  // Llama 3.1: short wavelengths stay, long ones are stretched by the factor, those between are blended
  // (https://github.com/meta-llama/llama-models, apply_scaling).
  const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalContextLength } = ropeScaling;
  return plain.map((frequency) => {
    const turns = (originalContextLength * frequency) / (2 * Math.PI); // within the original window
    const kept = Math.min(1, Math.max(0, (turns - low) / (high - low)));
    return kept * frequency + ((1 - kept) * frequency) / factor;
  });
}

/** x (B, K, G·T, D) → same shape, row t of each head turned by the angles of its position. */
export function rotate(x: Tensor, { cosines, signedSines }: Rotation, T: number): Tensor {
  const [B, K, rows, D] = x.shape as [number, number, number, number];
  const turned = customGrad((...args) => {
    const [input, save] = args as unknown as [Tensor, (tensors: Tensor[]) => void];
    save([cosines, signedSines]);
    // A rotation's transpose is its inverse: the angle with the other sign.
    const gradFunc = (dy: Tensor, [c, s]: Tensor[]): Tensor[] => [add(mul(dy, c!), mul(swapHalves(dy), mul(s!, -1)))];
    return { value: add(mul(input, cosines), mul(swapHalves(input), signedSines)), gradFunc };
  });
  return reshape(turned(reshape(x, [B, K, rows / T, T, D])), [B, K, rows, D]);
}
