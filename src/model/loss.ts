/**
 * The training objective: cross-entropy of the logits against the shifted targets, nats per token.
 *
 * N rows · C width · V vocabulary size
 */
import { add, concat, matMul, mul, slice, type Tensor } from '@tensorflow/tfjs-core';
import { weightedCrossEntropy } from '../ops/crossEntropy.ts';
import { isStored, valuesAfter, type Weight } from '../ops/linear.ts';
import { withGradient } from '../ops/withGradient.ts';
import { computedAfter, knownScalar, scope } from '../runtime/recording.ts';
import { chunkRows } from './parameters.ts';

/**
 * Σ weight·(−ln p(target)) over all positions, a scalar.
 *
 * With a large vocabulary the logits are many times larger than what the blocks keep, so they are computed in chunks,
 * each with its gradient at once (Hsu et al. 2024, https://arxiv.org/abs/2410.10989): the full (N, V) logits are never
 * materialised.
 *
 * @param hidden (N, C) @param head (V, C), without a gradient if it is stored @param targets (N) int32
 * @param weights (N), 0 on padding, else the weight of a position, such as 1/targets of the step
 * @param options.isTrained whether the gradient will be asked for; only then is it computed with the loss
 * @param options.rows of logits held at a time
 */
export function summedLoss(
  hidden: Tensor,
  head: Weight,
  targets: Tensor,
  weights: Tensor,
  { isTrained, rows = chunkRows(hidden.shape[0]!, head.shape[0]!) }: { isTrained: boolean; rows?: number },
): Tensor {
  const N = hidden.shape[0]!;
  const chunks = Array.from({ length: Math.ceil(N / rows) }, (_, i) => ({
    start: i * rows,
    count: Math.min(rows, N - i * rows),
  }));
  return isTrained
    ? trainedChunks(hidden, head, targets, weights, chunks)
    : scoredChunks(hidden, head, targets, weights, chunks);
}

type Chunks = { start: number; count: number }[];

/** `compute` for every chunk, each after the result of the one before: in parallel all would be in memory together. */
function oneByOne<R>(
  chunks: Chunks,
  compute: (start: number, count: number, before: R | null) => R,
  last: (result: R) => Tensor,
): R {
  let result: R | null = null;
  for (const [i, { start, count }] of chunks.entries()) {
    const before: R | null = result;
    const run = (): R => scope(`chunk${i}`, () => compute(start, count, before));
    result = before === null ? run() : computedAfter([last(before)], run);
  }
  return result!;
}

function scoredChunks(hidden: Tensor, head: Weight, targets: Tensor, weights: Tensor, chunks: Chunks): Tensor {
  const C = hidden.shape[1]!;
  const score = (start: number, count: number, before: Tensor | null): Tensor => {
    const rows = slice(hidden, [start, 0], [count, C]);
    const logits = matMul(rows, valuesAfter(rows, head), false, true);
    const { loss } = weightedCrossEntropy(logits, slice(targets, [start], [count]), slice(weights, [start], [count]));
    return before === null ? loss : add(before, loss);
  };
  return oneByOne(chunks, score, (loss) => loss);
}

/** The gradients are computed with the loss and only multiplied by dy, a scalar, in the backward pass. */
function trainedChunks(hidden: Tensor, head: Weight, targets: Tensor, weights: Tensor, chunks: Chunks): Tensor {
  const C = hidden.shape[1]!;
  const isFrozen = isStored(head);
  interface Sums {
    loss: Tensor;
    /** (V, C); null if the head is frozen */
    dHead: Tensor | null;
    /** (rows, C) of each chunk */
    dHidden: Tensor[];
  }
  const step = (start: number, count: number, before: Sums | null): Sums => {
    const rows = slice(hidden, [start, 0], [count, C]);
    const values = valuesAfter(rows, head);
    const logits = matMul(rows, values, false, true);
    const { loss, dLogits } = weightedCrossEntropy(
      logits,
      slice(targets, [start], [count]),
      slice(weights, [start], [count]),
    );
    const dHead = isFrozen ? null : matMul(dLogits, rows, true, false);
    const dHidden = matMul(dLogits, values);
    if (before === null) return { loss, dHead, dHidden: [dHidden] };
    return {
      loss: add(before.loss, loss),
      dHead: dHead && add(before.dHead!, dHead),
      dHidden: [...before.dHidden, dHidden],
    };
  };
  const forward = () => {
    const { loss, dHead, dHidden } = oneByOne(chunks, step, (sums) => sums.dHead ?? sums.dHidden.at(-1)!);
    const joined = dHidden.length === 1 ? dHidden[0]! : concat(dHidden, 0);
    return { value: loss, saved: dHead === null ? [joined] : [joined, dHead] };
  };
  const inputs: readonly Tensor[] = isFrozen ? [hidden] : [hidden, head];
  return withGradient(inputs, forward, (dy, saved) => {
    const isWhole = knownScalar(dy) === 1;
    // A clone, because tfjs disposes of what was saved.
    return saved.map((gradient) => (isWhole ? gradient.clone() : mul(gradient, dy)));
  });
}
