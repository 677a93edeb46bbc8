/**
 * The training objective: cross-entropy of the logits against the shifted targets, nats per token.
 *
 * N rows · C width · V vocabulary size
 */
import { concat, matMul, mul, reshape, slice, sum, type Tensor } from '../tfjs.ts';
import { weightedCrossEntropy } from '../ops/crossEntropy.ts';
import { isStored, linearProduct, transposedProduct, type Weight } from '../ops/linear.ts';
import { addProduct, sumOfScalars } from '../ops/sums.ts';
import { withGradient } from '../ops/withGradient.ts';
import { computedAfter, knownScalar, scope } from '../runtime/recording.ts';
import { chunkRows } from './parameters.ts';

/** Which part of the logits is held at a time, and whether a gradient will be asked for. */
interface LossOptions {
  /** Only then is the gradient computed with the loss. */
  isTrained: boolean;
  /** Of the logits, see `softCapped`. */
  softCap: number | null;
  /** Rows of logits held at a time. */
  rows?: number;
}

/**
 * Σ weight·(−ln p(target)) over all positions, a scalar.
 *
 * With a large vocabulary the logits are many times larger than what the blocks keep, so they are computed in chunks,
 * each with its gradient at once (Hsu et al. 2024, https://arxiv.org/abs/2410.10989): the full (N, V) logits are never
 * materialised.
 *
 * @param hidden (N, C) @param head (V, C), without a gradient if it is stored @param targets (N) int32
 * @param weights (N), 0 on padding, else the weight of a position, such as 1/targets of the step
 */
export function summedLoss(
  hidden: Tensor,
  head: Weight,
  targets: Tensor,
  weights: Tensor,
  { isTrained, softCap, rows }: LossOptions,
): Tensor {
  const given = { hidden, head, targets, weights, softCap, rows };
  if (!isTrained) return summed(scoredChunks(given));
  const forward = () => {
    const { losses, dHidden, dHead } = trainedChunks(given);
    return { value: summed(losses), saved: dHead === null ? [joined(dHidden)] : [joined(dHidden), dHead] };
  };
  // The gradients are computed with the loss and only multiplied by dy, a scalar, in the backward pass.
  return withGradient(trainedInputs(given), forward, (dy, saved) => {
    const isWhole = knownScalar(dy) === 1;
    // A clone, because tfjs disposes of what was saved.
    return saved.map((gradient) => (isWhole ? gradient.clone() : mul(gradient, dy)));
  });
}

/**
 * Σ weight·(−ln p(target)) over the positions of each of R rows: (R). As `summedLoss` otherwise, but that the weight of
 * a position in the gradient is known only in the backward pass. The gradient by a frozen head's input is scaled then;
 * with a head that is trained the logits are computed again.
 */
export function rowLosses(
  hidden: Tensor,
  head: Weight,
  targets: Tensor,
  weights: Tensor,
  { R, isTrained, softCap, rows }: LossOptions & { R: number },
): Tensor {
  const given = { hidden, head, targets, weights, softCap, rows };
  const byRow = (losses: Tensor[]): Tensor => sum(reshape(joined(losses), [R, -1]), 1);
  const scaledRows = (values: Tensor, dy: Tensor): Tensor =>
    reshape(mul(reshape(values, [R, -1]), reshape(dy, [R, 1])), values.shape);
  if (!isTrained) return byRow(scoredChunks(given));
  if (isStored(head)) {
    const forward = () => {
      const { losses, dHidden } = trainedChunks(given);
      return { value: byRow(losses), saved: [joined(dHidden)] as const };
    };
    return withGradient([hidden], forward, (dy, [dHidden]) => [scaledRows(dHidden, dy)]);
  }
  const forward = () => ({ value: byRow(scoredChunks(given)), saved: [hidden, head, targets, weights] as const });
  return withGradient([hidden, head], forward, (dy, [sameHidden, sameHead, sameTargets, sameWeights]) => {
    const scaled = scaledRows(sameWeights, dy);
    const again = { hidden: sameHidden, head: sameHead, targets: sameTargets, weights: scaled, softCap, rows };
    const { dHidden, dHead } = trainedChunks(again);
    return [joined(dHidden), dHead!];
  });
}

interface Given {
  hidden: Tensor;
  head: Weight;
  targets: Tensor;
  weights: Tensor;
  softCap: number | null;
  rows?: number | undefined;
}

/** A part of the positions. */
type Chunk = Pick<Given, 'hidden' | 'targets' | 'weights'>;

const trainedInputs = ({ hidden, head }: Given): readonly Tensor[] => (isStored(head) ? [hidden] : [hidden, head]);

const summed = (losses: Tensor[]): Tensor =>
  losses.length === 1 ? sum(losses[0]!) : sumOfScalars(losses.map((each) => sum(each)));

const joined = (parts: Tensor[]): Tensor => (parts.length === 1 ? parts[0]! : concat(parts, 0));

/** `compute` for every chunk, each after the result of the one before: in parallel all would be in memory together. */
function oneByOne<R>(
  { hidden, head, targets, weights, rows = chunkRows(hidden.shape[0]!, head.shape[0]!) }: Given,
  compute: (chunk: Chunk, before: R | null) => R,
  last: (result: R) => Tensor,
): R {
  const [N, C] = hidden.shape as [number, number];
  let result: R | null = null;
  for (let i = 0, start = 0; start < N; i++, start += rows) {
    const count = Math.min(rows, N - start);
    const before: R | null = result;
    const run = (): R =>
      scope(`chunk${i}`, () =>
        compute(
          {
            hidden: slice(hidden, [start, 0], [count, C]),
            targets: slice(targets, [start], [count]),
            weights: slice(weights, [start], [count]),
          },
          before,
        ),
      );
    result = before === null ? run() : computedAfter([last(before)], run);
  }
  return result!;
}

/** The weighted losses of the positions, chunk by chunk. */
function scoredChunks(given: Given): Tensor[] {
  const score = ({ hidden, targets, weights }: Chunk, before: Tensor[] | null): Tensor[] => {
    const logits = transposedProduct(hidden, given.head);
    return [...(before ?? []), weightedCrossEntropy(logits, targets, weights, given.softCap).losses];
  };
  return oneByOne(given, score, (losses) => losses.at(-1)!);
}

interface Sums {
  /** (rows) of each chunk */
  losses: Tensor[];
  /** (V, C); null if the head is frozen */
  dHead: Tensor | null;
  /** (rows, C) of each chunk */
  dHidden: Tensor[];
}

/** The same with the gradients of their sum. */
function trainedChunks(given: Given): Sums {
  const isFrozen = isStored(given.head);
  const step = ({ hidden, targets, weights }: Chunk, before: Sums | null): Sums => {
    const logits = transposedProduct(hidden, given.head);
    const { losses, dLogits } = weightedCrossEntropy(logits, targets, weights, given.softCap);
    const dHead = isFrozen ? null : matMul(dLogits, hidden, true, false);
    const dHidden = linearProduct(dLogits, given.head, null);
    if (before === null) return { losses: [losses], dHead, dHidden: [dHidden] };
    return {
      losses: [...before.losses, losses],
      dHead: dHead && addProduct(before.dHead!, dHead),
      dHidden: [...before.dHidden, dHidden],
    };
  };
  return oneByOne(given, step, (sums) => sums.dHead ?? sums.dHidden.at(-1)!);
}
