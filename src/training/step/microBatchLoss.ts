/**
 * The loss of a micro-batch, computed in branches: parts of its windows that are side by side in the graph. Sums are
 * made in a fixed order, so losses are repeatable to the bit only with the same number of branches.
 *
 * B micro-batch size · T positions · N = B·T; of preference pairs R = 2·B rows, N = R·T
 */
import { add, concat, slice, type Tensor } from '../../tfjs.ts';
import type { MicroBatch } from '../../data/windows/batches.ts';
import { adapterPass, type Adapter } from '../../model/adapter.ts';
import { hiddenStatesOf, outputHead, tokenEmbeddings } from '../../model/decoder.ts';
import type { DecoderPass, Parameters } from '../../model/decoderPass.ts';
import type { Dropout } from '../../ops/dropout.ts';
import { rowLosses, summedLoss } from '../../model/loss.ts';
import type { ModelConfig } from '../../model/parameters.ts';
import { preferenceFigureNames, preferenceFigures, type PreferenceObjective } from '../../model/preference.ts';
import type { PreferenceMeans } from '../../run/metrics.ts';
import { scope } from '../../runtime/recording.ts';
import type { Inputs, InputSpec } from '../../runtime/session.ts';
import { branchWindows } from './branches.ts';

export interface MicroBatchShape {
  model: ModelConfig;
  adapter: Adapter | null;
  microBatchSize: number;
  /**
   * Positions that see each other, at most those of the model, which it divides: a window of the model's context length
   * is computed as several.
   */
  contextLength: number;
  branches: number;
  /** Those that this process computes; all if left out. */
  ownBranches?: { first: number; count: number };
  /** Whether windows hold several documents; the positions of tokens in them are then fed too. */
  packsDocuments: boolean;
  /** If the windows are preference pairs: what is computed of them. */
  preference: PreferenceObjective | null;
}

/** What a pass has in training besides its shape. */
interface TrainedPass {
  dropout: Omit<Dropout, 'branch'> | null;
  /** Of the adapter's inputs. */
  adapterDropout: Omit<Dropout, 'branch'> | null;
  /** Whether the blocks are computed again in the backward pass. */
  recompute: boolean;
}

/** Rows of T positions of a window. */
const rowsOf = ({ preference }: MicroBatchShape): number => (preference === null ? 1 : 2);

/**
 * The inputs of a program over micro-batches, each (N); positions only if documents are packed; of preference pairs
 * also their weights (B) and the log-probabilities of their completions under the reference (R).
 */
export const microBatchInputs = (shape: MicroBatchShape) => {
  const { windows } = ownWindows(shape);
  const rows = windows * rowsOf(shape);
  const integers: InputSpec = { shape: [rows * shape.model.contextLength], dtype: 'int32' };
  const floats = (size: number): InputSpec => ({ shape: [size], dtype: 'float32' });
  return {
    ...{ inputs: integers, targets: integers, weights: floats(rows * shape.model.contextLength) },
    ...(shape.packsDocuments && { positions: integers }),
    ...(shape.preference && { reference: floats(rows), pairWeights: floats(windows) }),
  };
};

/** The tensors of `microBatchInputs`. */
export type MicroBatchTensors = Inputs<ReturnType<typeof microBatchInputs>>;

/** The values of `microBatchInputs`. */
export const microBatchFeeds = ({ inputs, targets, lossMask, positions, pairs }: ScoredMicroBatch) => ({
  ...{ inputs, targets, weights: lossMask },
  ...(positions && { positions }),
  ...(pairs && { reference: pairs.reference, pairWeights: pairs.weights }),
});

/** The windows of a micro-batch that this process computes. Its counts remain those of all. */
export function ownPart(microBatch: ScoredMicroBatch, shape: MicroBatchShape): ScoredMicroBatch {
  const { start, windows } = ownWindows(shape);
  if (windows === shape.microBatchSize) return microBatch;
  const part = <V extends Int32Array | Float32Array>(values: V): V => {
    const size = values.length / shape.microBatchSize;
    return values.subarray(start * size, (start + windows) * size) as V;
  };
  const { inputs, targets, lossMask, positions, pairs } = microBatch;
  return {
    ...microBatch,
    ...{ inputs: part(inputs), targets: part(targets), lossMask: part(lossMask) },
    ...(positions && { positions: part(positions) }),
    ...(pairs && { pairs: { ...pairs, reference: part(pairs.reference), weights: part(pairs.weights) } }),
  };
}

/** With the positions in pieces that are cut where windows of `contextLength` end. */
export function cutPieces(microBatch: ScoredMicroBatch, contextLength: number): ScoredMicroBatch {
  const { positions } = microBatch;
  return positions === undefined
    ? microBatch
    : { ...microBatch, positions: positions.map((position, i) => Math.min(position, i % contextLength)) };
}

/** The branches that this process computes, with their number among all of the micro-batch. */
function ownBranches({ microBatchSize, branches, ownBranches: own }: MicroBatchShape) {
  const all = branchWindows(microBatchSize, branches).map((windows, branch) => ({ branch, ...windows }));
  return own === undefined ? all : all.slice(own.first, own.first + own.count);
}

/** The windows of these branches. */
function ownWindows(shape: MicroBatchShape): { start: number; windows: number } {
  const own = ownBranches(shape);
  return { start: own[0]!.start, windows: own.reduce((sum, { windows }) => sum + windows, 0) };
}

/** A micro-batch; if it is of preference pairs, with what the reference says of them. */
export interface ScoredMicroBatch extends MicroBatch {
  readonly pairs?: ReferencePairs | undefined;
}

export interface ReferencePairs {
  /** (R) the log-probabilities of the completions. */
  readonly reference: Float32Array;
  /** (B) 1, and 0 for padding. */
  readonly weights: Float32Array;
  /** The pairs that are not padding. */
  readonly count: number;
}

/** What the mean loss of micro-batches is a mean over: targets, or pairs. */
export const lossCount = (microBatches: readonly ScoredMicroBatch[]): number =>
  microBatches.reduce((sum, { pairs, targetCount }) => sum + (pairs?.count ?? targetCount), 0);

/** A part of a micro-batch that is computed in parallel with the others. */
export interface Branch {
  /** The names of its nodes begin with it. */
  name: string;
  pass: DecoderPass;
  /** Its share of the micro-batch. */
  inputs: Tensor;
  targets: Tensor;
  weights: Tensor;
  /** Of preference pairs. */
  pairs: { reference: Tensor; weights: Tensor; objective: PreferenceObjective } | null;
}

/** @param trained null outside training */
export function branchesOf(feeds: MicroBatchTensors, shape: MicroBatchShape, trained: TrainedPass | null): Branch[] {
  const { model, adapter, preference, contextLength } = shape;
  const [T, rows] = [model.contextLength, rowsOf(shape)];
  const fed = ownWindows(shape);
  return ownBranches(shape).map(({ branch, start, windows }) => {
    const part = (whole: Tensor, size = rows * T): Tensor =>
      windows === fed.windows ? whole : slice(whole, [(start - fed.start) * size], [windows * size]);
    const ownDropout = (dropout: TrainedPass['dropout'] | undefined): Dropout | null =>
      dropout ? { ...dropout, branch } : null;
    const documentPositions = feeds.positions ? part(feeds.positions) : null;
    return {
      name: `branch${branch}`,
      pass: {
        model,
        batchSize: windows * rows * (T / contextLength),
        length: contextLength,
        documentPositions,
        dropout: ownDropout(trained?.dropout),
        adapter: adapterPass(adapter, ownDropout(trained?.adapterDropout)),
        recompute: trained?.recompute ?? false,
      },
      inputs: part(feeds.inputs),
      targets: part(feeds.targets),
      weights: part(feeds.weights),
      pairs: preference && {
        reference: part(feeds.reference!, rows),
        weights: part(feeds.pairWeights!, 1),
        objective: preference,
      },
    };
  });
}

/**
 * Σ weight·(−ln p(target)) over a branch, a scalar; of preference pairs the vector of `preferenceFigures`.
 *
 * @param tokens (rows, C), the embeddings of its inputs
 */
export function branchLoss(
  parameters: Parameters,
  tokens: Tensor,
  branch: Branch,
  { isTrained }: { isTrained: boolean },
): Tensor {
  const { pairs, inputs, targets, weights } = branch;
  if (pairs !== null) {
    const losses = branchRowLosses(parameters, tokens, branch, { isTrained });
    return scope('loss', () => preferenceFigures(losses, pairs.reference, pairs.weights, pairs.objective));
  }
  const hidden = hiddenStatesOf(parameters, inputs, tokens, branch.pass);
  const options = { isTrained, softCap: branch.pass.model.logitSoftCap };
  return scope('loss', () => summedLoss(hidden, outputHead(parameters), targets, weights, options));
}

/** −ln p of what counts in each row of a branch. */
function branchRowLosses(
  parameters: Parameters,
  tokens: Tensor,
  { pass, inputs, targets, weights }: Branch,
  { isTrained }: { isTrained: boolean },
): Tensor {
  const hidden = hiddenStatesOf(parameters, inputs, tokens, pass);
  const options = { R: pass.batchSize, isTrained, softCap: pass.model.logitSoftCap };
  return scope('loss', () => rowLosses(hidden, outputHead(parameters), targets, weights, options));
}

/** The sum over a micro-batch of what `branchLoss` computes, outside training. */
export const microBatchLoss = (parameters: Parameters, feeds: MicroBatchTensors, shape: MicroBatchShape): Tensor =>
  ofBranches(parameters, feeds, shape, branchLoss).reduce((sum, loss) => add(sum, loss));

/** −ln p of what counts in each row of a micro-batch: (R). */
export function microBatchRowLosses(parameters: Parameters, feeds: MicroBatchTensors, shape: MicroBatchShape): Tensor {
  const parts = ofBranches(parameters, feeds, shape, branchRowLosses);
  return parts.length === 1 ? parts[0]! : concat(parts, 0);
}

const ofBranches = (
  parameters: Parameters,
  feeds: MicroBatchTensors,
  shape: MicroBatchShape,
  compute: typeof branchLoss,
): Tensor[] =>
  branchesOf(feeds, shape, null).map((branch) =>
    scope(branch.name, () =>
      compute(parameters, tokenEmbeddings(parameters, branch.inputs), branch, { isTrained: false }),
    ),
  );

/** The means over pairs. @param figures of micro-batches, see `preferenceFigures` @param pairs what the sums count */
export function preferenceMeans(figures: readonly Float32Array[], pairs: number): PreferenceMeans {
  const [, rewardChosen, rewardRejected, accuracy] = preferenceFigureNames.map(
    (_, i) => figures.reduce((sum, each) => sum + each[i]!, 0) / pairs,
  ) as [number, number, number, number];
  return { rewardChosen, rewardRejected, margin: rewardChosen - rewardRejected, accuracy };
}
