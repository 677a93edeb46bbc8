/**
 * What a run needs of the machine's memory, by purpose, and what to turn where it is too much. Estimates of the peak of
 * a recorded run on a CPU; `npm run check:plan` holds them against measured peaks.
 *
 * B micro-batch size · T context length · C width · F feed-forward width · L layers · H heads · K key/value heads
 * D head size · V vocabulary size · N = B·T
 */
import os from 'node:os';
import type { Config } from '../config/schema.ts';
import { chunkRows } from '../model/lossChunks.ts';
import { elementCount, type ParameterSpec } from '../model/parameters.ts';
import { branchCount } from './branches.ts';
import { isMuonMatrix } from './optimizers/muonMatrices.ts';

const purposes = ['process', 'parameters', 'optimizer', 'gradients', 'activations', 'mask', 'logits', 'checkpoint'] as const;

/**
 * Bytes by purpose. `total` is the peak, less than their sum: while the backward pass goes on, gradients come in the
 * place of activations and logits.
 */
export type MemoryPlan = Readonly<Record<(typeof purposes)[number] | 'total', number>>;

type SizedConfig = Pick<Config, 'corpus' | 'model' | 'training' | 'optimizer'>;

const floatBytes = 4;
/** Node.js, tfjs and libtensorflow themselves: the peak of a process that trains a decoder of almost nothing. */
const processBytes = 530e6;
/** Memory that the allocator has from the system for each byte in use. */
const allocated = 1.05;

/** @param vocabularySize rows of the output head */
export function memoryPlan(config: SizedConfig, table: readonly ParameterSpec[], vocabularySize: number): MemoryPlan {
  const { training, optimizer } = config;
  const count = (belongs: (spec: ParameterSpec) => boolean): number =>
    table.filter(belongs).reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const parameters = count(() => true);
  const muonMatrices = optimizer.kind === 'muon' ? count(isMuonMatrix) : 0;
  const moments = 2 * parameters - muonMatrices;
  const optimizerState = moments + (training.emaDecay === null ? 0 : parameters);
  const summed = training.microBatchesPerStep > 1 ? parameters : 0; // over micro-batches, kept from step to step
  const head = headGradientFloats(config, vocabularySize);
  const floats = {
    parameters,
    optimizer: optimizerState,
    // Those of the micro-batch, their sums, a second one of the output head, Muon's directions.
    gradients: summed + parameters + head + 2 * muonMatrices,
    activations: activationFloats(config),
    mask: maskFloats(config),
    logits: logitFloats(config, vocabularySize),
    // The snapshot that is written while training goes on.
    checkpoint: parameters + optimizerState,
  };
  const held = floats.parameters + floats.optimizer + floats.checkpoint + summed;
  const atLoss = floats.activations + floats.mask + floats.logits + head;
  const atUpdate = floats.gradients - summed;
  const bytes = Object.fromEntries(Object.entries(floats).map(([purpose, size]) => [purpose, size * floatBytes]));
  const total = processBytes + allocated * (held + Math.max(atLoss, atUpdate)) * floatBytes;
  return Object.freeze({ process: processBytes, ...bytes, total }) as MemoryPlan;
}

/** What the backward pass keeps of the blocks: of every block, or its input alone and one block at a time. */
function activationFloats({ model, training }: SizedConfig): number {
  const { family, layers: L, width: C, heads: H, keyValueHeads: K, headSize: D, feedForwardWidth: F, contextLength: T, dropout } = model;
  const N = training.microBatchSize * T;
  const isDropped = dropout > 0;
  // Arrays of a row: residual stream and norms, twice; queries, keys and values; what they attend to; the feed-forward.
  const row = 4 * C + (H + 2 * K) * D + H * D + (family === 'llama' ? 3 : 2) * F + (isDropped ? 2 * C : 0);
  // Attention weights; with dropout also which were dropped and what was kept.
  const square = (isDropped ? 3 : 1) * H * T;
  // Gradients of the block that the backward pass is in, and of its dropped weights.
  const underWay = (isDropped ? 4 : 2) * H * T + (family === 'llama' ? 3 : 2) * F;
  const kept = training.recompute === 'block' ? L * C + row + square : L * (row + square);
  return N * (kept + underWay + 3 * C);
}

/** What hides the documents of a window from each other, (T, T) of each window; made from two more of its size. */
const maskFloats = ({ corpus, model, training }: SizedConfig): number =>
  corpus.packing === 'documents' ? 3 * training.microBatchSize * model.contextLength ** 2 : 0;

/** Logits, which become their gradient; of a large vocabulary a chunk of rows of them, and the sum of their gradients. */
function logitFloats(config: SizedConfig, V: number): number {
  const branches = branchCount(config.training);
  const branchRows = Math.ceil(config.training.microBatchSize / branches) * config.model.contextLength;
  const rows = chunkRows(branchRows, V);
  return branches * (2 * rows * V + (rows < branchRows ? V * config.model.width : 0));
}

/** The gradient of the output head, which is there before all others. */
const headGradientFloats = (config: SizedConfig, V: number): number => branchCount(config.training) * V * config.model.width;

/** Bytes of the key/value cache with which one completion of a whole window is sampled. */
export const keyValueCacheBytes = ({ layers, keyValueHeads, headSize, contextLength }: Config['model']): number =>
  2 * layers * keyValueHeads * headSize * contextLength * floatBytes;

/** The memory of the machine, or what a container leaves of it. */
export function availableBytes(): number {
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, os.totalmem()) : os.totalmem();
}
