/**
 * The training objective: cross-entropy of the logits against the shifted targets, nats per token.
 *
 * N rows · C width · V vocabulary size
 */
import { add, concat, customGrad, matMul, mul, reshape, slice, sum, type Tensor } from '@tensorflow/tfjs-core';
import { crossEntropyAndGradient, sparseCrossEntropy } from '../runtime/operations.ts';
import { computedAfter, scope } from '../runtime/recording.ts';
import { chunkRows } from './lossChunks.ts';

/**
 * Σ weight·(−ln p(target)) over all positions, a scalar; the caller divides by the number of targets.
 *
 * Of a large vocabulary the logits are many times what the blocks keep, so they are computed in chunks, each with its
 * gradient at once (as Hsu et al. 2024 do, https://arxiv.org/abs/2410.10989): no (N, V) ever exists.
 *
 * @param hidden (N, C) @param head (V, C) @param targets (N) int32 @param weights (N), 0 on padding, 1 elsewhere
 * @param options.isTrained whether the gradient will be asked for; only then is it computed beside the loss
 * @param options.rows of logits held at a time
 */
export function summedLoss(
  hidden: Tensor,
  head: Tensor,
  targets: Tensor,
  weights: Tensor,
  { isTrained, rows = chunkRows(hidden.shape[0]!, head.shape[0]!) }: { isTrained: boolean; rows?: number },
): Tensor {
  const N = hidden.shape[0]!;
  if (rows >= N) {
    return sum(mul(sparseCrossEntropy(matMul(hidden, head, false, true), targets), weights));
  }
  const chunks = Array.from({ length: Math.ceil(N / rows) }, (_, i) => ({ start: i * rows, count: Math.min(rows, N - i * rows) }));
  return isTrained ? trainedChunks(hidden, head, targets, weights, chunks) : scoredChunks(hidden, head, targets, weights, chunks);
}

type Chunks = { start: number; count: number }[];

/** `compute` for every chunk, each after what the one before gave: side by side they would be in memory together. */
function oneByOne<R>(chunks: Chunks, compute: (start: number, count: number, before: R | null) => R, last: (result: R) => Tensor): R {
  let result: R | null = null;
  for (const [i, { start, count }] of chunks.entries()) {
    const before: R | null = result;
    const run = (): R => scope(`chunk${i}`, () => compute(start, count, before));
    result = before === null ? run() : computedAfter([last(before)], run);
  }
  return result!;
}

function scoredChunks(hidden: Tensor, head: Tensor, targets: Tensor, weights: Tensor, chunks: Chunks): Tensor {
  const C = hidden.shape[1]!;
  const score = (start: number, count: number, before: Tensor | null): Tensor => {
    const logits = matMul(slice(hidden, [start, 0], [count, C]), head, false, true);
    const losses = sparseCrossEntropy(logits, slice(targets, [start], [count]));
    const loss = sum(mul(losses, slice(weights, [start], [count])));
    return before === null ? loss : add(before, loss);
  };
  return oneByOne(chunks, score, (loss) => loss);
}

/** The gradients are computed with the loss and only multiplied by dy, a scalar, in the backward pass. */
function trainedChunks(hidden: Tensor, head: Tensor, targets: Tensor, weights: Tensor, chunks: Chunks): Tensor {
  const C = hidden.shape[1]!;
  interface Sums {
    loss: Tensor;
    /** (V, C) */
    dHead: Tensor;
    /** (rows, C) of each chunk */
    dHidden: Tensor[];
  }
  const crossEntropy = customGrad((...args) => {
    const [x, w, save] = args as unknown as [Tensor, Tensor, (tensors: Tensor[]) => void];
    const step = (start: number, count: number, before: Sums | null): Sums => {
      const rows = slice(x, [start, 0], [count, C]);
      const rowWeights = slice(weights, [start], [count]);
      const { losses, gradient } = crossEntropyAndGradient(matMul(rows, w, false, true), slice(targets, [start], [count]));
      const dLogits = mul(gradient, reshape(rowWeights, [-1, 1]));
      const loss = sum(mul(losses, rowWeights));
      const dHead = matMul(dLogits, rows, true, false);
      const dHidden = matMul(dLogits, w);
      if (before === null) return { loss, dHead, dHidden: [dHidden] };
      return { loss: add(before.loss, loss), dHead: add(before.dHead, dHead), dHidden: [...before.dHidden, dHidden] };
    };
    const { loss, dHead, dHidden } = oneByOne(chunks, step, (sums) => sums.dHead);
    save([concat(dHidden, 0), dHead]);
    const gradFunc = (dy: Tensor, saved: Tensor[]): Tensor[] => saved.map((gradient) => mul(gradient, dy));
    return { value: loss, gradFunc };
  });
  return crossEntropy(hidden, head);
}
