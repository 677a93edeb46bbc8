/**
 * The decoder as a pure function: tokens in, logits at every position out, in one pass (teacher forcing).
 * GPT-2 (Radford et al. 2019): learned positions, pre-norm blocks, GELU, output head tied to the embedding.
 *
 * B micro-batch size · T positions · C width · V vocabulary size · N = B·T rows
 */
import { add, matMul, reshape, slice, type Tensor } from '@tensorflow/tfjs-core';
import { gatherRows } from '../runtime/operations.ts';
import { scope } from '../runtime/recording.ts';
import { selfAttention } from './attention.ts';
import type { DecoderPass, Parameters } from './decoderPass.ts';
import { drop } from './dropout.ts';
import { gelu } from './gelu.ts';
import { layerNorm } from './layerNorm.ts';
import { linear } from './linear.ts';

/** inputs (N) int32 token ids → logits (N, V): row b·T+t scores what follows token t of window b. */
export function decode(parameters: Parameters, inputs: Tensor, pass: DecoderPass): Tensor {
  return matMul(hiddenStates(parameters, inputs, pass), parameters['embedding.tokens']!, false, true);
}

/** inputs (N) → the normalised residual stream (N, C) that the output head reads. */
export function hiddenStates(parameters: Parameters, inputs: Tensor, pass: DecoderPass): Tensor {
  let x = scope('embedding', () => embed(parameters, inputs, pass));
  for (let layer = 0; layer < pass.model.layers; layer++) {
    x = scope(`blocks.${layer}`, () => block(parameters, `blocks.${layer}`, x, pass));
  }
  return norm(parameters, 'finalNorm', x);
}

/** inputs (N) → token plus position embeddings (N, C). */
function embed(parameters: Parameters, inputs: Tensor, pass: DecoderPass): Tensor {
  const { batchSize: B, positions: T, model } = pass;
  const tokens = reshape(gatherRows(parameters['embedding.tokens']!, inputs), [B, T, model.width]);
  const all = parameters['embedding.positions']!; // (context length, C)
  const positions = T === model.contextLength ? all : slice(all, [0, 0], [T, model.width]);
  return drop(reshape(add(tokens, positions), [B * T, model.width]), pass.dropout, 'embedding');
}

/** x (N, C) → (N, C). */
function block(parameters: Parameters, path: string, x: Tensor, pass: DecoderPass): Tensor {
  const attended = scope('attention', () =>
    selfAttention(parameters, `${path}.attention`, norm(parameters, `${path}.attentionNorm`, x), pass),
  );
  const h = add(x, drop(attended, pass.dropout, `${path}.attention`));
  const fed = scope('feedForward', () => {
    const up = linear(parameters, `${path}.feedForward.up`, norm(parameters, `${path}.feedForwardNorm`, h)); // (N, 4C)
    return linear(parameters, `${path}.feedForward.down`, gelu(up));
  });
  return add(h, drop(fed, pass.dropout, `${path}.feedForward`));
}

const norm = (parameters: Parameters, path: string, x: Tensor): Tensor =>
  layerNorm(x, parameters[`${path}.gain`]!, parameters[`${path}.bias`] ?? null);
