/**
 * Causal self-attention (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762): the only part of the
 * decoder where positions see each other, and each sees only itself and those before it, which is what
 * makes the logits at position t a model of p(x_t+1 | x_≤t).
 *
 * B micro-batch size · T positions · C width · H heads · D = C/H head size · N = B·T rows
 */
import { add, customGrad, matMul, mul, reshape, softmax, sub, sum, tensor, transpose } from '@tensorflow/tfjs-core';
import type { Tensor } from '@tensorflow/tfjs-core';
import { pack, unpack } from '../runtime/operations.ts';
import type { DecoderPass, Parameters } from './decoderPass.ts';
import { dropoutMask } from './dropout.ts';
import { linear } from './linear.ts';

/** x (N, C) → (N, C). */
export function selfAttention(parameters: Parameters, path: string, x: Tensor, pass: DecoderPass): Tensor {
  const { batchSize: B, positions: T } = pass;
  const H = pass.model.heads;
  const dropped = dropoutMask(pass.dropout, `${path}.weights`, [B, H, T, T]);
  const queryKeyValue = linear(parameters, `${path}.queryKeyValue`, x); // (N, 3C)
  return linear(parameters, `${path}.output`, attend(queryKeyValue, { B, T, H }, causalMask(T), dropped));
}

/** Additive mask (T, T): 0 where key ≤ query, −1e9 where the key lies in the future. */
export function causalMask(T: number): Tensor {
  const mask = new Float32Array(T * T);
  for (let query = 0; query < T; query++) mask.fill(-1e9, query * T + query + 1, (query + 1) * T);
  return tensor(mask, [T, T]);
}

/**
 * Per head softmax(query·keyᵀ/√D + mask)·value. Own gradient: with P the weights and O the output, the
 * softmax's row sums Σ dP∘P equal Σ dO∘O (Dao et al. 2022, https://arxiv.org/abs/2205.14135, appendix B),
 * a sum over D instead of T numbers, so two passes over (B, H, T, T) fall away.
 *
 * @param queryKeyValue (N, 3C), the three side by side
 * @param mask (T, T), added to the scores
 * @param dropped (B, H, T, T), multiplied into the weights, or null
 * @returns (N, C), heads side by side
 */
export function attend(
  queryKeyValue: Tensor,
  { B, T, H }: { B: number; T: number; H: number },
  mask: Tensor,
  dropped: Tensor | null,
): Tensor {
  const D = queryKeyValue.shape[1]! / (3 * H);
  const scale = 1 / Math.sqrt(D);
  const attention = customGrad((...args) => {
    const [x, save] = args as unknown as [Tensor, (tensors: Tensor[]) => void];
    const [q, k, v] = splitHeads(x, B, T, H, D) as [Tensor, Tensor, Tensor];
    const scaled = mul(q, scale);
    const weights = softmax(add(matMul(scaled, k, false, true), mask)); // (B, H, T, T)
    const kept = dropped === null ? weights : mul(weights, dropped);
    const output = matMul(kept, v); // (B, H, T, D)
    // What the gradient needs must be saved: tfjs disposes of the forward pass's other tensors before it.
    save([scaled, k, v, weights, kept, output, ...(dropped === null ? [] : [dropped])]);
    const gradFunc = (dy: Tensor, saved: Tensor[]): Tensor[] => {
      const [qs, ks, vs, p, pKept, o, factor] = saved as [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor?];
      const dOutput = transpose(reshape(dy, [B, T, H, D]), [0, 2, 1, 3]);
      const dKept = matMul(dOutput, vs, false, true);
      const dWeights = factor === undefined ? dKept : mul(dKept, factor);
      const dScores = mul(p, sub(dWeights, sum(mul(dOutput, o), -1, true)));
      const dq = mul(matMul(dScores, ks), scale);
      const dk = matMul(dScores, qs, true, false);
      const dv = matMul(pKept, dOutput, true, false);
      return [joinHeads([dq, dk, dv], B, T, H, D)];
    };
    return { value: reshape(transpose(output, [0, 2, 1, 3]), [B * T, H * D]), gradFunc };
  });
  return attention(queryKeyValue);
}

/** (N, 3C) → query, key and value, each (B, H, T, D): one transpose for the three. */
const splitHeads = (x: Tensor, B: number, T: number, H: number, D: number): Tensor[] =>
  unpack(transpose(reshape(x, [B, T, 3, H, D]), [2, 0, 3, 1, 4]));

/** The way back: three (B, H, T, D) → (N, 3C). */
const joinHeads = (parts: Tensor[], B: number, T: number, H: number, D: number): Tensor =>
  reshape(transpose(pack(parts), [1, 3, 0, 2, 4]), [B * T, 3 * H * D]);
