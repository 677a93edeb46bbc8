/**
 * How many numbers of 4 bytes the forward pass keeps for the backward pass, and how many the backward pass of a block
 * needs besides.
 *
 * B micro-batch size · T context length · C width · F feed-forward width · L layers · H heads · K key/value heads
 * D head size · N = B·T
 */
import type { Config } from '../../config/schema.ts';
import { isGated } from '../../model/parameters.ts';
import { hasTileUnit, mostTilePositions } from '../../processor.ts';
import { microBatchRows } from '../step/branches.ts';

export type SizedConfig = Pick<Config, 'start' | 'adapter' | 'corpus' | 'model' | 'training' | 'optimizer'>;

/** All activations of every block; with recompute every block's input, and one block. */
export function activationFloats(config: SizedConfig, productSize: number, isComposed: boolean): number {
  const { model, training } = config;
  const { layers: L, width: C, heads: H, keyValueHeads: K, headSize: D, feedForwardWidth: F } = model;
  const { contextLength: T, dropout, queryKeyNorm, normPlacement } = model;
  const N = microBatchRows(training) * T;
  const isDropped = dropout > 0;
  const isWrittenDown = isComposed || isOnTiles(config);
  // Arrays of a row: the residual stream, twice; the norms, twice; queries, keys and values; attention's output; the
  // feed-forward. QK-norm keeps queries and keys from before it, and moves the heads. Norms of outputs keep what they
  // normalise. Composed operations keep one more array of the activation and one more of each norm.
  const moved = queryKeyNorm ? (H + K) * D + H * D : 0;
  const hidden = isGated(model) ? 3 : 2; // arrays of the feed-forward
  const [inputNorms, outputNorms] = { before: [2, 0], sandwich: [2, 2], after: [0, 2] }[normPlacement];
  const norms = inputNorms! + outputNorms!;
  const products = inputNorms! * C + (H + 2 * K) * D + H * D + moved + hidden * F;
  const row =
    (2 + outputNorms!) * C + productSize * products + (isDropped ? 2 * C : 0) + (isComposed ? F + norms * C : 0);
  // Attention weights, if they are written down; with dropout also the dropout mask and the weights it leaves.
  // Otherwise the logarithm of each query's sum.
  const weights = isWrittenDown ? productSize * (isDropped ? 3 : 1) * H * T : H;
  // Gradients inside the block that the backward pass is in, those of attention weights included.
  const attention = isWrittenDown ? productSize * (isDropped ? 4 : 2) * H * T : blockFloats(config, productSize);
  const underWay = Math.max(attention, productSize * hidden * F);
  // Rows of the value embeddings, and in each of the two layers that mix one in, the values before it.
  const valueRows = (model.valueEmbeddings ?? 0) * K * D * (training.recompute === 'block' ? 1 : 3);
  const kept = training.recompute === 'block' ? L * C + row + weights : L * (row + weights);
  return N * (kept + valueRows + underWay + 3 * C);
}

/** A row of what attention in blocks works with: gradients, and keys, values and their gradients in float32. */
function blockFloats({ model }: SizedConfig, productSize: number): number {
  const { heads: H, keyValueHeads: K, headSize: D, contextLength: T } = model;
  const blocks = Math.ceil(T / 64);
  // As PartsOf in native/kernels/blockAttention.cc.
  const parts = Math.max(1, Math.min(8, Math.floor(16 / K), Math.floor(((H / K) * blocks) / 4)));
  return productSize * (2 * H + 2 * K) * D + 2 * K * D * (1 + parts);
}

/** Whether the tile unit computes attention, see `isMasked` in src/ops/attention.ts. */
const isOnTiles = ({ model }: SizedConfig): boolean =>
  hasTileUnit() &&
  model.contextLength <= mostTilePositions &&
  model.family === 'gpt2' &&
  model.heads === model.keyValueHeads &&
  !model.queryKeyNorm &&
  model.dropout === 0;

/**
 * What tells queries which keys they see: the causal mask (T, T) and, with packed documents, a mask (B, T, T) and two
 * temporary arrays of its size; nothing with attention in blocks. In family llama also the angles of the positions.
 */
export function maskFloats(config: SizedConfig, isComposed: boolean): number {
  const { contextLength: T, headSize: D, family } = config.model;
  const windows = config.corpus.packing === 'documents' ? config.training.microBatchSize : 0;
  const angles = family === 'llama' ? 2 * Math.max(1, windows) * T * D : 0;
  return angles + (isComposed || isOnTiles(config) ? (1 + 3 * windows) * T ** 2 : windows * T);
}
