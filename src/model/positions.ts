/**
 * How the decoder knows the order of its rows. Family gpt2 adds a learned vector of each position to the embedding;
 * family llama rotates queries and keys (RoPE, Su et al. 2021, https://arxiv.org/abs/2104.09864): elements i
 * and i + D/2 of a head form a 2-D point, rotated by position · frequency_i, so that the product of a query and a key
 * depends on their distance. Elements i and i + D/2 rather than neighbours are paired, as in Hugging Face's weights.
 *
 * B micro-batch size · T positions · C width · K key/value heads · G queries of each · D head size
 */
import { add, cast, cos, mul, reshape, sin, slice, tensor1d, type Tensor } from '../tfjs.ts';
import { rowsOf, valuesOf } from '../ops/linear.ts';
import type { Rotation } from '../ops/rotation.ts';
import type { DecoderPass, Parameters } from './decoderPass.ts';
import type { ModelConfig } from './parameters.ts';
import { ropeFrequencies } from './ropeFrequencies.ts';

/** tokens (N, C) → with the learned vectors of their positions added (N, C). */
export function addLearnedPositions(parameters: Parameters, tokens: Tensor, pass: DecoderPass): Tensor {
  const { batchSize: B, length: T, model } = pass;
  const all = parameters['embedding.positions']!; // (context length, C)
  const positionIds = positionIdsOf(pass);
  if (positionIds) return add(tokens, rowsOf(all, positionIds));
  const learned = valuesOf(all);
  const positions = T === model.contextLength ? learned : slice(learned, [0, 0], [T, model.width]);
  return reshape(add(reshape(tokens, [B, T, model.width]), positions), [B * T, model.width]);
}

/** (B·T) int32: the position of each row; null if it is its place in the window. */
const positionIdsOf = ({ cache, documentPositions }: DecoderPass): Tensor | null =>
  cache?.positionIds ?? documentPositions ?? null;

/** The rotation of a pass; null in a family without. Of it, a recording holds only D frequencies as constants. */
export function rotationOf(pass: DecoderPass): Rotation | null {
  const { model, batchSize: B, length: T } = pass;
  if (model.family === 'gpt2') return null;
  const D = model.headSize;
  const frequencies = ropeFrequencies(model);
  const positionIds = positionIdsOf(pass);
  const positions = positionIds
    ? cast(positionIds, 'float32')
    : tensor1d(Float32Array.from({ length: T }, (_, t) => t));
  // TensorFlow computes whole vectors of cosines in another way than what is left over: with as many angles a row as
  // fill vectors, the bits of a row do not depend on its place in the batch.
  const padding = new Array<number>(positionIds ? -D & 15 : 0).fill(0);
  const angles = mul(
    reshape(positions, positionIds ? [B, 1, 1, T, 1] : [T, 1]),
    tensor1d([...frequencies, ...frequencies, ...padding]),
  );
  const ofHead = (x: Tensor): Tensor => (padding.length === 0 ? x : slice(x, [0, 0, 0, 0, 0], [B, 1, 1, T, D]));
  const signs = tensor1d(Array.from({ length: D }, (_, i) => (i < D / 2 ? -1 : 1)));
  return { cosines: ofHead(cos(angles)), signedSines: mul(ofHead(sin(angles)), signs) };
}

/**
 * Whether a layer (from 0) is rotated. Some models leave it out in every fourth (NoPE; Kazemnejad et al. 2023,
 * https://arxiv.org/abs/2305.19466): there the causal mask alone gives the order.
 */
export const isRotated = ({ nopeEveryLayers }: ModelConfig, layer: number): boolean =>
  nopeEveryLayers === null || (layer + 1) % nopeEveryLayers !== 0;
