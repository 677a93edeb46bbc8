/**
 * The decoder as a pure function of parameters and tokens: tokens in, logits at every position out, in one pass.
 * Pre-norm blocks of attention and feed-forward around a residual stream; the family decides which positions, norm and
 * activation they have: GPT-2 (Radford et al. 2019) or Llama (Touvron et al. 2023).
 *
 * B micro-batch size · T positions · C width · F feed-forward width · V vocabulary size · N = B·T rows
 */
import { scalar, type Tensor } from '@tensorflow/tfjs-core';
import { gelu, swiglu } from '../ops/activations.ts';
import { isStored, rowsOf, transposedProduct, valuesOf, type Weight } from '../ops/linear.ts';
import { layerNorm, rmsNorm } from '../ops/norm.ts';
import { recomputed } from '../ops/recomputed.ts';
import { addTo } from '../ops/sums.ts';
import { scope } from '../runtime/recording.ts';
import { attentionContextOf, selfAttention, type AttentionContext } from './attention.ts';
import { linear, type DecoderPass, type Parameters } from './decoderPass.ts';
import { drop } from '../ops/dropout.ts';
import type { ModelConfig } from './parameters.ts';
import { addLearnedPositions, isRotated } from './positions.ts';

/** inputs (N) int32 token ids → logits (N, V): row b·T+t scores what follows token t of window b. */
export function decode(parameters: Parameters, inputs: Tensor, pass: DecoderPass): Tensor {
  return logitsOf(parameters, hiddenStates(parameters, inputs, pass));
}

/** hidden (N, C) → logits (N, V). */
export const logitsOf = (parameters: Parameters, hidden: Tensor): Tensor =>
  transposedProduct(hidden, outputHead(parameters));

/** The matrix (V, C) that turns hidden states into logits: one of its own, or the token embedding (tied). */
export const outputHead = <W extends Weight>(parameters: Parameters<W>): W =>
  parameters['head.weight'] ?? parameters['embedding.tokens']!;

/** inputs (N) → the normalised residual stream (N, C) that the output head reads. */
export const hiddenStates = (parameters: Parameters, inputs: Tensor, pass: DecoderPass): Tensor =>
  hiddenStatesOf(parameters, tokenEmbeddings(parameters, inputs), pass);

/** inputs (N) → their rows of the token embedding (N, C). */
export const tokenEmbeddings = (parameters: Parameters, inputs: Tensor): Tensor =>
  scope('embedding', () => rowsOf(parameters['embedding.tokens']!, inputs));

/** As `hiddenStates`, of rows that are looked up already. @param tokens (N, C) */
export function hiddenStatesOf(parameters: Parameters, tokens: Tensor, pass: DecoderPass): Tensor {
  const context = attentionContextOf(pass);
  let x = scope('embedding', () => embed(parameters, tokens, pass));
  for (let layer = 0; layer < pass.model.layers; layer++) {
    const path = `blocks.${layer}`;
    const ownContext = isRotated(pass.model, layer) ? context : { ...context, rotation: null };
    x = scope(path, () => (pass.recompute ? recomputedBlock : block)(parameters, path, x, pass, ownContext));
  }
  return norm(parameters, 'finalNorm', x, pass.model);
}

/** tokens (N, C) → with the embeddings of their positions if those are learned (N, C). */
function embed(parameters: Parameters, tokens: Tensor, pass: DecoderPass): Tensor {
  const positioned = pass.model.family === 'gpt2' ? addLearnedPositions(parameters, tokens, pass) : tokens;
  return drop(positioned, pass.dropout, 'embedding');
}

/** x (N, C) → (N, C). */
export function block(
  parameters: Parameters,
  path: string,
  x: Tensor,
  pass: DecoderPass,
  context: AttentionContext,
): Tensor {
  const { model, dropout } = pass;
  const attended = scope('attention', () =>
    selfAttention(parameters, `${path}.attention`, norm(parameters, `${path}.attentionNorm`, x, model), pass, context),
  );
  const h = addTo(x, drop(attended, dropout, `${path}.attention`));
  const fed = scope('feedForward', () =>
    feedForward(parameters, `${path}.feedForward`, norm(parameters, `${path}.feedForwardNorm`, h, model), pass),
  );
  return addTo(h, drop(fed, dropout, `${path}.feedForward`));
}

/**
 * The feed-forward network, applied to each row independently; GELU in family gpt2, SwiGLU in family llama: x (N, C) →
 * (N, C).
 */
function feedForward(parameters: Parameters, path: string, x: Tensor, pass: DecoderPass): Tensor {
  const up = linear(parameters, `${path}.up`, x, pass); // (N, F)
  const active = pass.model.family === 'gpt2' ? gelu(up) : swiglu(linear(parameters, `${path}.gate`, x, pass), up);
  return linear(parameters, `${path}.down`, active, pass);
}

/** LayerNorm in family gpt2, RMSNorm in family llama: x (N, C) → (N, C). */
function norm(parameters: Parameters, path: string, x: Tensor, { family, normEpsilon }: ModelConfig): Tensor {
  const gain = valuesOf(parameters[`${path}.gain`]!);
  if (family === 'llama') return rmsNorm(x, gain, normEpsilon);
  const bias = parameters[`${path}.bias`];
  return layerNorm(x, gain, bias ? valuesOf(bias) : null, normEpsilon);
}

/**
 * A block whose activations are not kept for the backward pass, but computed again in it. Frozen weights are no inputs
 * of the computation that is done again: they have no gradient.
 */
function recomputedBlock(
  parameters: Parameters,
  path: string,
  x: Tensor,
  pass: DecoderPass,
  context: AttentionContext,
): Tensor {
  const own = Object.entries(parameters).filter(([name]) => name.startsWith(`${path}.`));
  const frozen = Object.fromEntries(own.filter(([, weight]) => isStored(weight)));
  const trained = own.filter((entry): entry is [string, Tensor] => !isStored(entry[1]));
  const { starts, mask, rotation } = context;
  const constants = [starts, mask, rotation?.cosines, rotation?.signedSines].map((tensor) => tensor ?? scalar(0));
  const compute = ([input, ...values]: Tensor[], [start, same, cosines, signedSines]: Tensor[]): Tensor => {
    const named = { ...frozen, ...Object.fromEntries(trained.map(([name], i) => [name, values[i]!])) };
    return block(named, path, input!, pass, {
      starts: starts && start!,
      mask: mask && same!,
      rotation: rotation && { cosines: cosines!, signedSines: signedSines! },
    });
  };
  return recomputed(compute, [x, ...trained.map(([, weight]) => weight)], constants);
}
