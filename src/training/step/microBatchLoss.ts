/**
 * The loss of a micro-batch, computed in branches: parts of its windows that stand side by side in the graph. Sums run
 * in a fixed order, so the number of branches belongs to what makes losses repeatable to the bit.
 *
 * B micro-batch size · T positions · N = B·T
 */
import { add, slice, type Tensor } from '@tensorflow/tfjs-core';
import type { MicroBatch } from '../../data/windows/batches.ts';
import { hiddenStatesOf, outputHead, tokenEmbeddings } from '../../model/decoder.ts';
import type { DecoderPass, Parameters } from '../../model/decoderPass.ts';
import type { Dropout } from '../../model/dropout.ts';
import { summedLoss } from '../../model/loss.ts';
import type { ModelConfig } from '../../model/parameters.ts';
import { scope } from '../../runtime/recording.ts';
import type { InputSpec, Values } from '../../runtime/program.ts';
import { branchWindows } from './branches.ts';

export interface MicroBatchShape {
  model: ModelConfig;
  microBatchSize: number;
  branches: number;
  /** Whether windows hold several documents, whose places are fed beside the tokens. */
  packsDocuments: boolean;
}

/** What a pass whose gradient will be asked for has beside the shape. */
interface TrainedPass {
  dropout: Omit<Dropout, 'branch'> | null;
  /** Whether the blocks are computed again in the backward pass. */
  recompute: boolean;
}

/** What a program over micro-batches is fed: inputs, targets, weights and, of packed documents, positions; each (N). */
export function microBatchInputs({
  model,
  microBatchSize,
  packsDocuments,
}: MicroBatchShape): Record<string, InputSpec> {
  const shape = [microBatchSize * model.contextLength];
  return {
    inputs: { shape, dtype: 'int32' },
    targets: { shape, dtype: 'int32' },
    weights: { shape, dtype: 'float32' },
    ...(packsDocuments && { positions: { shape, dtype: 'int32' } as const }),
  };
}

/** The values of `microBatchInputs`. */
export const microBatchFeeds = ({ inputs, targets, lossMask, positions }: MicroBatch): Record<string, Values> => ({
  inputs,
  targets,
  weights: lossMask,
  ...(positions && { positions }),
});

/** A part of a micro-batch that is computed beside the others. */
export interface Branch {
  /** What its nodes are named below. */
  name: string;
  pass: DecoderPass;
  /** Its share of what the micro-batch is fed. */
  inputs: Tensor;
  targets: Tensor;
  weights: Tensor;
}

/** @param feeds the tensors of `microBatchInputs` @param trained null outside training */
export function branchesOf(
  feeds: Record<string, Tensor>,
  { model, microBatchSize, branches, packsDocuments }: MicroBatchShape,
  trained: TrainedPass | null,
): Branch[] {
  const T = model.contextLength;
  return branchWindows(microBatchSize, branches).map(({ start, windows }, branch) => {
    const part = (name: string): Tensor =>
      windows === microBatchSize ? feeds[name]! : slice(feeds[name]!, [start * T], [windows * T]);
    const dropout = trained?.dropout ? { ...trained.dropout, branch } : null;
    const documentPositions = packsDocuments ? part('positions') : null;
    return {
      name: `branch${branch}`,
      pass: {
        model,
        batchSize: windows,
        length: T,
        documentPositions,
        dropout,
        recompute: trained?.recompute ?? false,
      },
      inputs: part('inputs'),
      targets: part('targets'),
      weights: part('weights'),
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
export function microBatchLoss(parameters: Parameters, feeds: Record<string, Tensor>, shape: MicroBatchShape): Tensor {
  const losses = branchesOf(feeds, shape, null).map((branch) =>
    scope(branch.name, () =>
      branchLoss(parameters, tokenEmbeddings(parameters, branch.inputs), branch, { isTrained: false }),
    ),
  );
  return losses.reduce((sum, loss) => add(sum, loss));
}
