/**
 * Row 2 of the walk: what a run will be, in numbers, before anything native is loaded: steps, tokens,
 * parameters, FLOPs, bytes. Sizes that cannot work are refused here.
 *
 * B micro-batch size · T context length · C width · L layers · H heads · V vocabulary size · N = B·T
 */
import os from 'node:os';
import type { Config } from '../config/schema.ts';
import { wrongInput } from '../errors.ts';
import { elementCount, parameterTable } from '../model/parameters.ts';

export interface RunPlan {
  steps: number;
  tokensPerStep: number;
  /** Over the whole run. */
  tokens: number;
  epochs: number;
  windowsPerEpoch: number;
  parameters: number;
  parametersByPart: Readonly<Record<'embedding' | 'blocks' | 'norms', number>>;
  /** Those that take part in a matrix product of the forward pass, the tied head included. */
  matmulParameters: number;
  /** Forward and backward: 6 per matmul parameter, 12·L·C·T for attention. */
  flopsPerToken: number;
  bytes: Readonly<Record<'parameters' | 'optimizer' | 'gradients' | 'activations' | 'logits' | 'total', number>>;
  machineBytes: number;
  fits: boolean;
}

/** What the text gives: known once the corpus has been read. */
export interface CorpusSize {
  vocabularySize: number;
  trainingTokens: number;
}

const floatBytes = 4;
/** Node.js, tfjs and libtensorflow themselves: the peak of a process that trains a decoder of almost nothing. */
const processBytes = 570e6;

/**
 * @param machineBytes memory this process may use
 * @throws wrong input where the text is too short or the model too large, naming the keys to turn
 */
export function planRun(config: Config, size: CorpusSize, machineBytes = availableBytes()): RunPlan {
  const { model, training } = config;
  const { contextLength: T, layers: L, width: C } = model;
  const windowsPerStep = training.microBatchSize * training.microBatchesPerStep;
  const windowsPerEpoch = windowsIn(size.trainingTokens, T);
  refuseShortText(config, size.trainingTokens, windowsPerStep, windowsPerEpoch);

  const tokensPerStep = windowsPerStep * T;
  const steps = stepsOf(config, tokensPerStep, windowsPerEpoch * T);
  const table = parameterTable(model, size.vocabularySize);
  const count = (belongs: (name: string) => boolean): number =>
    table.filter(({ name }) => belongs(name)).reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const parameters = count(() => true);
  const norms = count((name) => name.includes('Norm'));
  const embedding = count((name) => name.startsWith('embedding'));
  const matmulParameters = table
    .filter(({ multiplies }) => multiplies)
    .reduce((sum, { shape }) => sum + elementCount(shape), 0);

  const bytes = bytesOf(config, size.vocabularySize, parameters);
  const plan: RunPlan = {
    steps,
    tokensPerStep,
    tokens: steps * tokensPerStep,
    epochs: (steps * windowsPerStep) / windowsPerEpoch,
    windowsPerEpoch,
    parameters,
    parametersByPart: Object.freeze({ embedding, blocks: parameters - embedding - norms, norms }),
    matmulParameters,
    flopsPerToken: 6 * matmulParameters + 12 * L * C * T,
    bytes,
    machineBytes,
    fits: bytes.total + processBytes <= machineBytes,
  };
  if (!plan.fits) throw tooLarge(plan, config);
  return Object.freeze(plan);
}

/** Windows of T+1 tokens that advance by T; the offset of an epoch may cost the last one. */
const windowsIn = (tokens: number, T: number): number => Math.max(0, Math.floor((tokens - 1) / T));

function stepsOf({ training }: Config, tokensPerStep: number, tokensPerEpoch: number): number {
  if (training.tokens !== null) return Math.ceil(training.tokens / tokensPerStep);
  if (training.epochs !== null) return Math.ceil((training.epochs * tokensPerEpoch) / tokensPerStep);
  if (training.steps === null) throw new Error('a complete config gives the length of the run');
  return training.steps;
}

function refuseShortText(config: Config, tokens: number, windowsPerStep: number, windowsPerEpoch: number): void {
  const { contextLength } = config.model;
  if (windowsPerEpoch < 1) {
    throw wrongInput(
      `The training text has ${tokens} tokens, fewer than one window of ` +
        `model.contextLength + 1 = ${contextLength + 1}. Shorten model.contextLength or add text to corpus.sources.`,
    );
  }
  if (windowsPerStep > windowsPerEpoch) {
    throw wrongInput(
      `The training text has ${windowsPerEpoch} windows of ${contextLength + 1} tokens, ` +
        `but one step takes ${windowsPerStep}. Lower training.microBatchSize or training.microBatchesPerStep, ` +
        'shorten model.contextLength, or add text to corpus.sources.',
    );
  }
}

/**
 * Bytes while a step runs. Activations are what the backward pass keeps of each block: (N, C) arrays, of which the
 * norms hold 4, attention 9, the residual stream 3 and the feed-forward three of 4C; attention weights (T, T) of each
 * head and window with the gradients that pass through them; of the output head, logits, softmax and gradient. Dropout
 * adds masks. With `processBytes` this is within 10 % of the peaks of seven recorded benchmarks on a CPU (590 to
 * 1,560 MB: small, wide, long, with dropout, with two micro-batches).
 */
function bytesOf({ model, training, optimizer }: Config, V: number, parameters: number): RunPlan['bytes'] {
  const { layers: L, width: C, heads: H, contextLength: T, dropout } = model;
  const N = training.microBatchSize * T;
  const gradientCopies = training.microBatchesPerStep > 1 ? 3 : 1;
  const rows = dropout > 0 ? 36 : 28;
  const squares = dropout > 0 ? 9 : 4;
  const parameterBytes = parameters * floatBytes;
  const bytes = {
    parameters: parameterBytes,
    optimizer: 2 * parameterBytes,
    gradients: (gradientCopies + (optimizer.gradientClip === null ? 0 : 1)) * parameterBytes,
    activations: L * (rows * N * C + squares * N * H * T) * floatBytes,
    logits: 3 * N * V * floatBytes,
  };
  return Object.freeze({ ...bytes, total: Object.values(bytes).reduce((sum, part) => sum + part, 0) });
}

function tooLarge({ bytes, machineBytes, parameters }: RunPlan, { training }: Config): Error {
  const gigabytes = (count: number): string => `${(count / 1e9).toFixed(1)} GB`;
  const smallerMicroBatch = 'training.microBatchSize (raise training.microBatchesPerStep by the same factor)';
  const fitsWithoutActivations = bytes.total - bytes.activations - bytes.logits + processBytes <= machineBytes;
  const keys = [
    ...(fitsWithoutActivations && training.microBatchSize > 1 ? [smallerMicroBatch] : []),
    ...(fitsWithoutActivations ? ['model.contextLength'] : []),
    'model.layers and model.width',
  ];
  return wrongInput(
    `This model cannot fit the machine: ${parameters.toLocaleString('en-US')} parameters need about ` +
      `${gigabytes(bytes.total + processBytes)} to train, ${gigabytes(machineBytes)} are there. ` +
      `Lower ${keys.join(', then ')}.`,
  );
}

/** The memory of the machine, or what a container leaves of it. */
function availableBytes(): number {
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, os.totalmem()) : os.totalmem();
}
