/**
 * The loss of a micro-batch, computed in branches: parts of its windows that are side by side in the graph. Sums are
 * made in a fixed order, so losses are repeatable to the bit only with the same number of branches.
 *
 * B micro-batch size · T positions · N = B·T
 */
import { add, slice, type Tensor } from '@tensorflow/tfjs-core';
import type { MicroBatch } from '../../data/windows/batches.ts';
import { adapterPass, type Adapter } from '../../model/adapter.ts';
import { hiddenStatesOf, outputHead, tokenEmbeddings } from '../../model/decoder.ts';
import type { DecoderPass, Parameters } from '../../model/decoderPass.ts';
import type { Dropout } from '../../ops/dropout.ts';
import { summedLoss } from '../../model/loss.ts';
import type { ModelConfig } from '../../model/parameters.ts';
import { scope } from '../../runtime/recording.ts';
import type { Inputs, InputSpec } from '../../runtime/session.ts';
import { branchWindows } from './branches.ts';

export interface MicroBatchShape {
  model: ModelConfig;
  adapter: Adapter | null;
  microBatchSize: number;
  branches: number;
  /** Whether windows hold several documents; the positions of tokens in them are then fed too. */
  packsDocuments: boolean;
}

/** What a pass has in training besides its shape. */
interface TrainedPass {
  dropout: Omit<Dropout, 'branch'> | null;
  /** Of the adapter's inputs. */
  adapterDropout: Omit<Dropout, 'branch'> | null;
  /** Whether the blocks are computed again in the backward pass. */
  recompute: boolean;
}

/** The inputs of a program over micro-batches, each (N); positions only if documents are packed. */
export const microBatchInputs = ({ model, microBatchSize, packsDocuments }: MicroBatchShape) => {
  const shape = [microBatchSize * model.contextLength];
  const integers: InputSpec = { shape, dtype: 'int32' };
  const weights: InputSpec = { shape, dtype: 'float32' };
  return { inputs: integers, targets: integers, weights, ...(packsDocuments && { positions: integers }) };
};

/** The tensors of `microBatchInputs`. */
export type MicroBatchTensors = Inputs<ReturnType<typeof microBatchInputs>>;

/** The values of `microBatchInputs`. */
export const microBatchFeeds = ({ inputs, targets, lossMask, positions }: MicroBatch) => ({
  ...{ inputs, targets, weights: lossMask },
  ...(positions && { positions }),
});

/** A part of a micro-batch that is computed in parallel with the others. */
export interface Branch {
  /** The names of its nodes begin with it. */
  name: string;
  pass: DecoderPass;
  /** Its share of the micro-batch. */
  inputs: Tensor;
  targets: Tensor;
  weights: Tensor;
}

/** @param trained null outside training */
export function branchesOf(
  feeds: MicroBatchTensors,
  { model, adapter, microBatchSize, branches }: MicroBatchShape,
  trained: TrainedPass | null,
): Branch[] {
  const T = model.contextLength;
  return branchWindows(microBatchSize, branches).map(({ start, windows }, branch) => {
    const part = (whole: Tensor): Tensor =>
      windows === microBatchSize ? whole : slice(whole, [start * T], [windows * T]);
    const ownDropout = (dropout: TrainedPass['dropout'] | undefined): Dropout | null =>
      dropout ? { ...dropout, branch } : null;
    const documentPositions = feeds.positions ? part(feeds.positions) : null;
    return {
      name: `branch${branch}`,
      pass: {
        model,
        batchSize: windows,
        length: T,
        documentPositions,
        dropout: ownDropout(trained?.dropout),
        adapter: adapterPass(adapter, ownDropout(trained?.adapterDropout)),
        recompute: trained?.recompute ?? false,
      },
      inputs: part(feeds.inputs),
      targets: part(feeds.targets),
      weights: part(feeds.weights),
    };
  });
}

/** Σ weight·(−ln p(target)) over a branch, a scalar. @param tokens (rows, C), the embeddings of its inputs */
export function branchLoss(
  parameters: Parameters,
  tokens: Tensor,
  branch: Branch,
  { isTrained }: { isTrained: boolean },
): Tensor {
  const hidden = hiddenStatesOf(parameters, tokens, branch.pass);
  return scope('loss', () => summedLoss(hidden, outputHead(parameters), branch.targets, branch.weights, { isTrained }));
}

/** Σ weight·(−ln p(target)) over a micro-batch outside training, a scalar. */
export function microBatchLoss(parameters: Parameters, feeds: MicroBatchTensors, shape: MicroBatchShape): Tensor {
  const losses = branchesOf(feeds, shape, null).map((branch) =>
    scope(branch.name, () =>
      branchLoss(parameters, tokenEmbeddings(parameters, branch.inputs), branch, { isTrained: false }),
    ),
  );
  return losses.reduce((sum, loss) => add(sum, loss));
}
