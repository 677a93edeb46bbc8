/**
 * Row 2 of the walk: what a run will be, in numbers, before anything native is loaded: steps, tokens,
 * parameters, FLOPs, bytes. Sizes that cannot work are refused here.
 *
 * T context length · L layers · H heads · D head size
 */
import type { Config } from '../../config/schema.ts';
import { plainSupply, supplyShares, type TrainingSupply } from '../../data/windows/trainingSupply.ts';
import { tooShort } from '../../data/windows/windows.ts';
import { wrongInput } from '../../errors.ts';
import { parameterTable, vocabularyRows, type ParameterSpec } from '../../model/parameters.ts';
import { elementCount } from '../../tensors/tensors.ts';
import { keysToTurn, turnText, type KeyToTurn } from './keysToTurn.ts';
import { availableBytes, keyValueCacheBytes, memoryPlan, type MemoryPlan } from './memory.ts';

export interface RunPlan {
  steps: number;
  tokensPerStep: number;
  /** Over the whole run. */
  tokens: number;
  epochs: number;
  windowsPerEpoch: number;
  /** Share of the places of the windows that hold no token: the price of packing whole documents. */
  paddingShare: number;
  /** Share of the training tokens that the loss is taken of: 1 unless there are prompts. */
  learntShare: number;
  /** Tokens that stand in no window of an epoch. */
  leftoverTokens: number;
  /** Documents longer than a window, which are cut; only where documents are packed whole. */
  splitDocuments: number;
  parameters: number;
  parametersByPart: Readonly<Record<'embedding' | 'attention' | 'feedForward' | 'norms' | 'head', number>>;
  /** Those that take part in a matrix product of the forward pass, the tied head included. */
  matmulParameters: number;
  /** Forward and backward: 6 per matmul parameter, 12·L·H·D·T for attention. */
  flopsPerToken: number;
  /** Predicted peak of training. */
  bytes: MemoryPlan;
  /** What sampling a completion of a whole window keeps beside the parameters. */
  keyValueCacheBytes: number;
  machineBytes: number;
  fits: boolean;
  /** Where it does not fit: what lowers the peak, in the order in which to turn it. */
  keysToTurn: readonly KeyToTurn[];
}

/** What the text gives: known once the corpus has been read. */
interface CorpusSize {
  /** Tokens of the tokenizer. */
  vocabularySize: number;
  trainingTokens: number;
  /** Counted where it does not follow from the tokens. */
  supply?: TrainingSupply | undefined;
}

/**
 * @param machineBytes memory this process may use
 * @throws wrong input where the text is too short or the vocabulary too small, naming the keys to turn; what is too
 *   large `fits` not
 */
export function planRun(config: Config, size: CorpusSize, machineBytes = availableBytes()): RunPlan {
  const { model, training } = config;
  const { contextLength: T } = model;
  const windowsPerStep = training.microBatchSize * training.microBatchesPerStep;
  const supply = size.supply ?? supplyOfText(size.trainingTokens, config);
  const windowsPerEpoch = supply.windows;
  refuseSmallVocabulary(config, size.vocabularySize);
  refuseShortText(config, size.trainingTokens, windowsPerStep, windowsPerEpoch);

  const tokensPerStep = windowsPerStep * T;
  const steps = stepsOf(config, tokensPerStep, windowsPerEpoch * T);
  const table = parameterTable(model, size.vocabularySize);
  const parameters = countWhere(table, () => true);
  const bytes = memoryPlan(config, table, vocabularyRows(model, size.vocabularySize));
  const plan: RunPlan = {
    steps,
    tokensPerStep,
    tokens: steps * tokensPerStep,
    epochs: (steps * windowsPerStep) / windowsPerEpoch,
    windowsPerEpoch,
    ...supplyShares(supply, T),
    leftoverTokens: supply.leftoverTokens,
    splitDocuments: supply.splitDocuments,
    parameters,
    parametersByPart: partsOf(table),
    matmulParameters: countWhere(table, ({ multiplies }) => multiplies),
    flopsPerToken: flopsPerToken(model, size.vocabularySize),
    bytes,
    keyValueCacheBytes: keyValueCacheBytes(model),
    machineBytes,
    fits: bytes.total <= machineBytes,
    keysToTurn: keysToTurn(config, size.vocabularySize, machineBytes),
  };
  return Object.freeze(plan);
}

/** FLOPs of a token in training, forward and backward. @param tokens of the tokenizer */
export function flopsPerToken(model: Config['model'], tokens: number): number {
  const { contextLength: T, layers: L, heads: H, headSize: D } = model;
  return 6 * countWhere(parameterTable(model, tokens), ({ multiplies }) => multiplies) + 12 * L * H * D * T;
}

/** @throws wrong input where the plan does not fit the machine, naming the keys to turn, in order */
export function refuseTooLarge(plan: RunPlan): void {
  if (plan.fits) return;
  throw wrongInput(
    `This model cannot fit the machine: ${plan.parameters.toLocaleString('en-US')} parameters need about ` +
      `${gigabytes(plan.bytes.total)} to train, ${gigabytes(plan.machineBytes)} are there. ${howToFit(plan)}`,
  );
}

/** What to do about a plan that does not fit, in words. */
export function howToFit({ keysToTurn, machineBytes }: RunPlan): string {
  const last = keysToTurn.at(-1);
  if (last === undefined) return 'Nothing can be turned: take a smaller model.width.';
  const rest =
    last.bytes <= machineBytes ? '' : ' That is not enough: also lower model.width, or take a larger machine.';
  return `Turn, in this order, until it fits: ${keysToTurn.map(turnText).join(', then ')}.${rest}`;
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;

const countWhere = (table: readonly ParameterSpec[], belongs: (spec: ParameterSpec) => boolean): number =>
  table.filter(belongs).reduce((sum, { shape }) => sum + elementCount(shape), 0);

/** Each parameter belongs to one part; the norms of queries and keys are norms. */
function partsOf(table: readonly ParameterSpec[]): RunPlan['parametersByPart'] {
  const part = ({ name }: ParameterSpec): keyof RunPlan['parametersByPart'] => {
    if (name.startsWith('embedding.')) return 'embedding';
    if (name.startsWith('head.')) return 'head';
    if (/[nN]orm\./.test(name)) return 'norms';
    return name.includes('.attention.') ? 'attention' : 'feedForward';
  };
  const of = (wanted: ReturnType<typeof part>): number => countWhere(table, (spec) => part(spec) === wanted);
  return Object.freeze({
    embedding: of('embedding'),
    attention: of('attention'),
    feedForward: of('feedForward'),
    norms: of('norms'),
    head: of('head'),
  });
}

const supplyOfText = (tokens: number, { seed, model }: Config): TrainingSupply =>
  plainSupply({ seed, contextLength: model.contextLength }, tokens);

function stepsOf({ training }: Config, tokensPerStep: number, tokensPerEpoch: number): number {
  if (training.tokens !== null) return Math.ceil(training.tokens / tokensPerStep);
  if (training.epochs !== null) return Math.ceil((training.epochs * tokensPerEpoch) / tokensPerStep);
  if (training.steps === null) throw new Error('a complete config gives the length of the run');
  return training.steps;
}

function refuseSmallVocabulary({ model }: Config, tokens: number): void {
  if (vocabularyRows(model, tokens) >= tokens) return;
  throw wrongInput(
    `model.vocabularySize is ${model.vocabularySize}, but the tokenizer has ${tokens} tokens. ` +
      'Raise it to at least as many, or leave it out.',
  );
}

function refuseShortText(config: Config, tokens: number, windowsPerStep: number, windowsPerEpoch: number): void {
  const { contextLength } = config.model;
  if (windowsPerEpoch < 1) throw tooShort(tokens, contextLength);
  if (windowsPerStep > windowsPerEpoch) {
    throw wrongInput(
      `The training text has ${windowsPerEpoch} windows of ${contextLength + 1} tokens, ` +
        `but one step takes ${windowsPerStep}. Lower training.microBatchSize or training.microBatchesPerStep, ` +
        'shorten model.contextLength, or add text to corpus.sources.',
    );
  }
}
