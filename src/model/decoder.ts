/**
 * The decoder as a pure function of parameters and tokens: tokens in, logits at every position out, in one pass.
 * Blocks of attention and feed-forward around a residual stream; the family decides which positions and norm they have,
 * and which activation unless the config names one: GPT-2 (Radford et al. 2019) or Llama (Touvron et al. 2023).
 *
 * B micro-batch size · T positions · C width · F feed-forward width · V vocabulary size · N = B·T rows
 */
import { scalar, type Tensor } from '../tfjs.ts';
import { gelu, squaredRelu, swiglu } from '../ops/activations.ts';
import { softCapped } from '../ops/crossEntropy.ts';
import { isStored, rowsOf, transposedProduct, valuesOf, type Weight } from '../ops/linear.ts';
import { layerNorm, rmsNorm } from '../ops/norm.ts';
import { recomputed } from '../ops/recomputed.ts';
import { addTo } from '../ops/sums.ts';
import { scope } from '../runtime/recording.ts';
import { attentionContextOf, selfAttention, type AttentionContext } from './attention.ts';
import { linear, type DecoderPass, type Parameters } from './decoderPass.ts';
import { drop } from '../ops/dropout.ts';
import { valueEmbeddingOf, type ModelConfig } from './parameters.ts';
import { addLearnedPositions, isRotated } from './positions.ts';

/** inputs (N) int32 token ids → logits (N, V): row b·T+t scores what follows token t of window b. */
export function decode(parameters: Parameters, inputs: Tensor, pass: DecoderPass): Tensor {
  return logitsOf(parameters, hiddenStates(parameters, inputs, pass), pass.model);
}

/** hidden (N, C) → logits (N, V). */
export function logitsOf(parameters: Parameters, hidden: Tensor, { logitSoftCap }: ModelConfig): Tensor {
  const logits = transposedProduct(hidden, outputHead(parameters));
  return logitSoftCap === null ? logits : softCapped(logits, logitSoftCap);
}

/** The matrix (V, C) that turns hidden states into logits: one of its own, or the token embedding (tied). */
export const outputHead = <W extends Weight>(parameters: Parameters<W>): W =>
  parameters['head.weight'] ?? parameters['embedding.tokens']!;

/** inputs (N) → the normalised residual stream (N, C) that the output head reads. */
export const hiddenStates = (parameters: Parameters, inputs: Tensor, pass: DecoderPass): Tensor =>
  hiddenStatesOf(parameters, inputs, tokenEmbeddings(parameters, inputs), pass);

/** inputs (N) → their rows of the token embedding (N, C). */
export const tokenEmbeddings = (parameters: Parameters, inputs: Tensor): Tensor =>
  scope('embedding', () => rowsOf(parameters['embedding.tokens']!, inputs));

/** As `hiddenStates`, of rows that are looked up already. @param inputs (N) @param tokens (N, C), their rows */
export function hiddenStatesOf(parameters: Parameters, inputs: Tensor, tokens: Tensor, pass: DecoderPass): Tensor {
  const context = attentionContextOf(pass);
  let x = scope('embedding', () => embed(parameters, tokens, pass));
  const valueRows = Array.from({ length: pass.model.valueEmbeddings ?? 0 }, (_, i) =>
    scope('embedding', () => rowsOf(parameters[`embedding.values.${i}`]!, inputs)),
  );
  for (let layer = 0; layer < pass.model.layers; layer++) {
    const path = `blocks.${layer}`;
    const own = valueEmbeddingOf(pass.model, layer);
    const ownContext = {
      ...context,
      ...(!isRotated(pass.model, layer) && { rotation: null }),
      otherValues: own === null ? null : valueRows[own]!,
    };
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
  const part = (name: 'attention' | 'feedForward', x: Tensor, compute: (path: string, x: Tensor) => Tensor): Tensor => {
    const own = `${path}.${name}`;
    const normalised = (at: string, x: Tensor): Tensor =>
      `${own}${at}.gain` in parameters ? norm(parameters, `${own}${at}`, x, pass.model) : x;
    const added = scope(name, () => normalised('OutputNorm', compute(own, normalised('Norm', x))));
    return addTo(x, drop(added, pass.dropout, own));
  };
  const h = part('attention', x, (own, input) => selfAttention(parameters, own, input, pass, context));
  return part('feedForward', h, (own, input) => feedForward(parameters, own, input, pass));
}

/** The feed-forward network, applied to each row independently: x (N, C) → (N, C). */
function feedForward(parameters: Parameters, path: string, x: Tensor, pass: DecoderPass): Tensor {
  const up = linear(parameters, `${path}.up`, x, pass); // (N, F)
  const activate = {
    gelu: () => gelu(up),
    squaredRelu: () => squaredRelu(up),
    swiglu: () => swiglu(linear(parameters, `${path}.gate`, x, pass), up),
  }[pass.model.activation];
  return linear(parameters, `${path}.down`, activate(), pass);
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
  const { starts, mask, rotation, otherValues } = context;
  const given = otherValues ? [x, otherValues] : [x];
  const constants = [starts, mask, rotation?.cosines, rotation?.signedSines].map((tensor) => tensor ?? scalar(0));
  const compute = (inputs: Tensor[], [start, same, cosines, signedSines]: Tensor[]): Tensor => {
    const values = inputs.slice(given.length);
    const named = { ...frozen, ...Object.fromEntries(trained.map(([name], i) => [name, values[i]!])) };
    return block(named, path, inputs[0]!, pass, {
      starts: starts && start!,
      mask: mask && same!,
      rotation: rotation && { cosines: cosines!, signedSines: signedSines! },
      otherValues: otherValues && inputs[1]!,
    });
  };
  return recomputed(compute, [...given, ...trained.map(([, weight]) => weight)], constants);
}
