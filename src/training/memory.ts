/**
 * What a run needs of the machine's memory, by purpose, and what to turn where it is too much. Estimates of the peak of
 * a recorded run on a CPU; `npm run check:plan` holds them against measured peaks.
 *
 * B micro-batch size · T context length · C width · F feed-forward width · L layers · H heads · K key/value heads
 * D head size · V vocabulary size · N = B·T
 */
import os from 'node:os';
import type { Config } from '../config/schema.ts';
import { wrongInput } from '../errors.ts';
import { chunkRows } from '../model/lossChunks.ts';
import { elementCount, type ParameterSpec } from '../model/parameters.ts';
import { branchCount } from './branches.ts';
import { isMuonMatrix } from './optimizers/muonMatrices.ts';

const purposes = ['process', 'parameters', 'optimizer', 'gradients', 'activations', 'mask', 'logits', 'checkpoint', 'total'] as const;

/** Bytes by purpose; `total` is their sum. */
export type MemoryPlan = Readonly<Record<(typeof purposes)[number], number>>;

type SizedConfig = Pick<Config, 'corpus' | 'model' | 'training' | 'optimizer'>;

const floatBytes = 4;
/** Node.js, tfjs and libtensorflow themselves: the peak of a process that trains a decoder of almost nothing. */
const processBytes = 500e6;

/** @param vocabularySize rows of the output head */
export function memoryPlan(config: SizedConfig, table: readonly ParameterSpec[], vocabularySize: number): MemoryPlan {
  const { training, optimizer } = config;
  const count = (belongs: (spec: ParameterSpec) => boolean): number =>
    table.filter(belongs).reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const parameters = count(() => true);
  const muonMatrices = optimizer.kind === 'muon' ? count(isMuonMatrix) : 0;
  const moments = 2 * parameters - muonMatrices;
  const optimizerState = moments + (training.emaDecay === null ? 0 : parameters);
  const floats = {
    parameters,
    optimizer: optimizerState,
    // Those of the micro-batch, their clipped copies, the sums of several micro-batches, Muon's directions.
    gradients:
      (training.microBatchesPerStep > 1 ? 3 : 1) * parameters + (optimizer.gradientClip === null ? 0 : parameters) + muonMatrices,
    activations: activationFloats(config),
    mask: maskFloats(config),
    logits: logitFloats(config, vocabularySize),
    // The snapshot that is written while training goes on.
    checkpoint: parameters + optimizerState,
  };
  const bytes = Object.fromEntries(Object.entries(floats).map(([purpose, size]) => [purpose, size * floatBytes]));
  const total = Object.values(bytes).reduce((sum, part) => sum + part, processBytes);
  return Object.freeze({ process: processBytes, ...bytes, total }) as MemoryPlan;
}

/** What the backward pass keeps of the blocks: of every block, or its input alone and one block at a time. */
function activationFloats({ model, training }: SizedConfig): number {
  const { family, layers: L, width: C, heads: H, keyValueHeads: K, headSize: D, feedForwardWidth: F, contextLength: T, dropout } = model;
  const N = training.microBatchSize * T;
  // Arrays of a row: residual stream and norms, projections and their heads, feed-forward; attention weights.
  const row = 3 * C + 2 * (H + 2 * K) * D + 3 * H * D + (family === 'llama' ? 5 : 3) * F + (dropout > 0 ? 8 * C : 0);
  // Attention weights are kept once, with dropout three times; around them the block under way has its own.
  const square = (dropout > 0 ? 3 : 1) * H * T;
  const underWay = 4 * H * T;
  const kept = training.recompute === 'block' ? L * C + 2 * (row + square) : L * (row + square);
  return N * (kept + underWay);
}

/** What hides the documents of a window from each other, (T, T) of each window; made from two more of its size. */
const maskFloats = ({ corpus, model, training }: SizedConfig): number =>
  corpus.packing === 'documents' ? 3 * training.microBatchSize * model.contextLength ** 2 : 0;

/** Logits, softmax and gradient; of a large vocabulary a chunk of rows of them, and gradients of the output head. */
function logitFloats({ model, training }: SizedConfig, V: number): number {
  const branches = branchCount(training);
  const branchRows = Math.ceil(training.microBatchSize / branches) * model.contextLength;
  const rows = chunkRows(branchRows, V);
  return branches * (3 * rows * V + (rows < branchRows ? 2 * V * model.width : 0));
}

/** Bytes of the key/value cache with which one completion of a whole window is sampled. */
export const keyValueCacheBytes = ({ layers, keyValueHeads, headSize, contextLength }: Config['model']): number =>
  2 * layers * keyValueHeads * headSize * contextLength * floatBytes;

/** Keys that lower the peak, in the order in which to turn them: first what costs nothing but time. */
export function keysToTurn({ model, training, optimizer }: SizedConfig, { total, activations, logits, checkpoint }: MemoryPlan, machineBytes: number): string[] {
  const fitsWithoutActivations = total - activations - logits <= machineBytes;
  const { microBatchSize, recompute, emaDecay } = training;
  return [
    ...(fitsWithoutActivations && microBatchSize > 1
      ? ['training.microBatchSize (raise training.microBatchesPerStep by the same factor)']
      : []),
    ...(recompute === null ? ['training.recompute: block'] : []),
    ...(fitsWithoutActivations && model.contextLength > 1 ? ['model.contextLength'] : []),
    ...(emaDecay !== null ? ['training.emaDecay: null'] : []),
    ...(optimizer.kind === 'adamw' && checkpoint > 0 ? ['optimizer.kind: muon'] : []),
    'model.layers and model.width',
  ];
}

/** The memory of the machine, or what a container leaves of it. */
export function availableBytes(): number {
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, os.totalmem()) : os.totalmem();
}

/** @throws wrong input where the plan does not fit the machine, naming the keys to turn, in order */
export function refuseTooLarge(
  plan: { fits: boolean; parameters: number; bytes: MemoryPlan; machineBytes: number; keysToTurn: readonly string[] },
): void {
  if (plan.fits) return;
  const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;
  throw wrongInput(
    `This model cannot fit the machine: ${plan.parameters.toLocaleString('en-US')} parameters need about ` +
      `${gigabytes(plan.bytes.total)} to train, ${gigabytes(plan.machineBytes)} are there. ` +
      `Turn, in this order: ${plan.keysToTurn.join(', then ')}.`,
  );
}
