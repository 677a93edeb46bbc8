/**
 * How much memory a run needs, by purpose: estimates of the peak of a recorded run on a CPU. `npm run check -- plan`
 * compares them with measured peaks.
 *
 * B micro-batch size · T context length · C width · F feed-forward width · L layers · H heads · K key/value heads
 * D head size · V vocabulary size · N = B·T
 */
import os from 'node:os';
import type { Config } from '../../config/schema.ts';
import { valuesOf } from '../../config/sections/stages.ts';
import { chunkRows, isBlockMatrix, type ParameterSpec } from '../../model/parameters.ts';
import type { ParameterRoles } from '../../model/trainedParameters.ts';
import { elementCount } from '../../tensors/tensors.ts';
import { wantsKernels } from '../../processor.ts';
import { branchCount, microBatchRows } from '../step/branches.ts';
import { sumsOf, sumTree } from '../step/sumTree.ts';
import { activationFloats, maskFloats, type SizedConfig } from './activationMemory.ts';

type Purpose = 'process' | 'parameters' | 'optimizer' | 'gradients' | 'activations' | 'mask' | 'logits' | 'checkpoint';

/**
 * Bytes by purpose. `total` is the peak. It is less than the sum: during the backward pass gradients take the place of
 * activations and logits.
 */
export type MemoryPlan = Readonly<Record<Purpose | 'total', number>>;

const floatBytes = 4;
/** Node.js, tfjs and libtensorflow themselves: the peak of a process that trains a tiny decoder. */
const processBytes = 530e6;
/** Bytes that the allocator holds for each byte in use. */
const allocated = 1.05;

/**
 * @param vocabularySize rows of the output head
 * @param isComposed whether the step uses TensorFlow's operations instead of clm's kernels: they keep more arrays
 */
export function memoryPlan(
  config: SizedConfig,
  roles: ParameterRoles,
  vocabularySize: number,
  isComposed = !wantsKernels(),
): MemoryPlan {
  const { training, optimizer } = config;
  const trained = countWhere(roles.trained, () => true);
  const muonMatrices = optimizer.kind === 'muon' ? countWhere(roles.trained, isBlockMatrix) : 0;
  const optimizerState = optimizerFloats(config, roles);
  // Gradient sums, kept from step to step: as many as the stage with the most has.
  const sums = valuesOf(training.microBatchesPerStep).map((count) => (count > 1 ? sumsOf(sumTree(count)) : 0));
  const summed = Math.max(...sums) * trained;
  const productSize = productFloats(config, isComposed);
  const isHeadTrained = roles.trained.some(({ name }) => name === headName(config));
  const head = isHeadTrained ? productSize * headGradientFloats(config, vocabularySize) : 0;
  // With one micro-batch all gradients exist before the update; with several, each is freed once it has been added.
  const underWay = (Math.min(...sums) > 0 ? head : productSize * trained) + (isComposed ? head : 0);
  const floats = {
    parameters: trained + frozenFloats(config, roles),
    optimizer: optimizerState,
    // Gradients of the micro-batch, their sums, Muon's directions.
    gradients: summed + underWay + 2 * muonMatrices,
    activations: activationFloats(config, productSize, isComposed),
    mask: maskFloats(config, isComposed),
    logits: productSize * logitFloats(config, vocabularySize, isComposed, isHeadTrained),
    // The snapshot that is written while training continues.
    checkpoint: countWhere(roles.saved, () => true) + optimizerState,
  };
  const held = floats.parameters + floats.optimizer + floats.checkpoint + summed;
  // Without clm's kernels, matrices in bfloat16 are cast when they are used; the largest is the output head.
  const isCast = isComposed && isStoredInBfloat16(config) && training.precision === 'float32';
  const cast = isCast ? vocabularySize * config.model.width : 0;
  const atLoss = floats.activations + floats.mask + floats.logits + head + cast;
  const atUpdate = floats.gradients - summed;
  const bytes = Object.fromEntries(Object.entries(floats).map(([purpose, size]) => [purpose, size * floatBytes]));
  const total = processBytes + allocated * (held + Math.max(atLoss, atUpdate)) * floatBytes;
  return Object.freeze({ process: processBytes, ...bytes, total }) as MemoryPlan;
}

const isStoredInBfloat16 = ({ adapter, start }: SizedConfig): boolean =>
  adapter.kind !== null && start.weights === 'bfloat16';

/** The size of the parameters that are not trained, in units of 4 bytes. */
const frozenFloats = (config: SizedConfig, { frozen }: ParameterRoles): number =>
  countWhere(frozen, ({ shape }) => shape.length !== 2) +
  (isStoredInBfloat16(config) ? 0.5 : 1) * countWhere(frozen, ({ shape }) => shape.length === 2);

/** Moments, and the weights that are trained if the model is their running mean. */
function optimizerFloats({ optimizer, training }: SizedConfig, { trained }: ParameterRoles): number {
  const parameters = countWhere(trained, () => true);
  const muonMatrices = optimizer.kind === 'muon' ? countWhere(trained, isBlockMatrix) : 0;
  return 2 * parameters - muonMatrices + (training.emaDecay === null ? 0 : parameters);
}

/** Bytes of the tensors in a checkpoint. */
export const checkpointBytes = (config: SizedConfig, roles: ParameterRoles): number =>
  floatBytes * (countWhere(roles.saved, () => true) + optimizerFloats(config, roles));

/** The matrix that is the output head. */
const headName = ({ model }: SizedConfig): string => (model.tiedEmbeddings ? 'embedding.tokens' : 'head.weight');

/** Number of parameters in the tensors that `belongs` selects. */
export const countWhere = (table: readonly ParameterSpec[], belongs: (spec: ParameterSpec) => boolean): number =>
  table.filter(belongs).reduce((sum, { shape }) => sum + elementCount(shape), 0);

/** Size of inputs and outputs of matrix products, in units of 4 bytes: clm's kernels keep them in bfloat16. */
const productFloats = ({ training }: SizedConfig, isComposed: boolean): number =>
  training.precision === 'bfloat16' && !isComposed ? 0.5 : 1;

/**
 * Logits; their gradient takes their place. Composed operations have both, and capped logits beside them. With a large
 * vocabulary one chunk of rows, and the sum of the head's gradients.
 */
function logitFloats(config: SizedConfig, V: number, isComposed: boolean, isHeadTrained: boolean): number {
  const branches = branchCount(config.training);
  const branchRows = Math.ceil(microBatchRows(config.training) / branches) * config.model.contextLength;
  const rows = chunkRows(branchRows, V);
  const arrays = isComposed ? 2 + (config.model.logitSoftCap === null ? 0 : 2) : 1;
  return branches * (arrays * rows * V + (rows < branchRows && isHeadTrained ? V * config.model.width : 0));
}

/** The gradient of the output head, the first of all. */
const headGradientFloats = (config: SizedConfig, V: number): number =>
  branchCount(config.training) * V * config.model.width;

/** Bytes of the key/value cache for sampling one completion of a whole window. */
export const keyValueCacheBytes = ({ layers, keyValueHeads, headSize, contextLength }: Config['model']): number =>
  2 * layers * keyValueHeads * headSize * contextLength * floatBytes;

/** The memory of the machine, or the limit of its container. */
export function availableBytes(): number {
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, os.totalmem()) : os.totalmem();
}

/** What of it no program uses at the moment: memory that is free, or that the system gives back when asked. */
export const freeBytes = (): number => process.availableMemory();
