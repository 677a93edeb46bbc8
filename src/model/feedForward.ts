/**
 * The feed-forward part of a block: every row on its own through a wider layer. GELU in family gpt2, SwiGLU with a
 * gate of its own in family llama.
 *
 * N rows · C width · F feed-forward width
 */
import type { Tensor } from '@tensorflow/tfjs-core';
import { gelu, swiglu } from './activations.ts';
import type { Parameters } from './decoderPass.ts';
import { linear } from './linear.ts';
import type { ModelConfig } from './parameters.ts';

/** x (N, C) → (N, C). */
export function feedForward(parameters: Parameters, path: string, x: Tensor, { family }: ModelConfig): Tensor {
  const up = linear(parameters, `${path}.up`, x); // (N, F)
  const active = family === 'gpt2' ? gelu(up) : swiglu(linear(parameters, `${path}.gate`, x), up);
  return linear(parameters, `${path}.down`, active);
}
