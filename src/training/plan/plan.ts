/**
 * A run in numbers, before anything native is loaded: steps, tokens, parameters, FLOPs, bytes. Sizes that cannot work
 * are refused here. Stage: plan (src/README.md).
 *
 * T context length · L layers · H heads · D head size
 */
import type { Config } from '../../config/schema.ts';
import { valuesOf } from '../../config/sections/stages.ts';
import { plainSupply, supplyShares, type TrainingSupply } from '../../data/windows/trainingSupply.ts';
import { tooShort } from '../../data/windows/windows.ts';
import { wrongInput } from '../../errors.ts';
import { adapterOf, refuseHighRank } from '../../model/adapter.ts';
import { parameterTable, vocabularyRows, type ParameterSpec } from '../../model/parameters.ts';
import type { StoredAs } from '../../runtime/variables.ts';
import { weightBytes } from '../../sampling/weightStorage.ts';
import {
  frozenParameters,
  parameterRoles,
  type FrozenParameters,
  type ParameterRoles,
} from '../../model/trainedParameters.ts';
import { elementCount } from '../../tensors/tensors.ts';
import { bytesText } from '../../units.ts';
import {
  availableBytes,
  checkpointBytes,
  countWhere,
  freeBytes,
  keyValueCacheBytes,
  memoryPlan,
  type MemoryPlan,
} from './memory.ts';
import { microBatchTokens, runStages, stepsForTokens, sumBefore, type RunStage } from './stages.ts';
import { adviceText, memoryAdvice, otherKeys, type MemoryAdvice } from './memoryAdvice.ts';

/** The fields are also those of `clm plan --json`: `learntShare` and `keysToTurn` keep their names for its readers. */
export interface RunPlan {
  steps: number;
  /** If it grows by stages, the mean over the run. */
  tokensPerStep: number;
  /** One for a run without stages. */
  stages: readonly PlannedStage[];
  /** Over the whole run. */
  tokens: number;
  epochs: number;
  windowsPerEpoch: number;
  /** Share of the positions of the windows that are padding: the price of whole documents, and of preference pairs. */
  paddingShare: number;
  /** Share of the training tokens that count towards the loss: 1 unless there are prompts. */
  learntShare: number;
  /** Tokens of an epoch that are in no window. */
  leftoverTokens: number;
  /** Documents that are cut because they are longer than a window; 0 unless documents are packed whole. */
  splitDocuments: number;
  /** Preference pairs that are cut, and those left out because their prompt fills the context. */
  truncatedPairs: number;
  omittedPairs: number;
  /** Of the whole model, an adapter included. */
  parameters: number;
  /** Those that are trained: of an adapter its own, and all without one, but for those of `training.freeze`. */
  trainedParameters: number;
  /** What each pattern of `training.freeze` matches. */
  frozen: readonly FrozenParameters[];
  parametersByPart: Readonly<Record<'embedding' | 'attention' | 'feedForward' | 'norms' | 'head' | 'adapter', number>>;
  /** Parameters used in a matrix product of the forward pass, the tied head included. */
  matmulParameters: number;
  /**
   * Forward and backward: 6 per matmul parameter, 12·L·H·D·T for attention. Of a frozen parameter 4, since it has no
   * gradient; and where nothing before is trained, the forward pass alone: 2, and 4·H·D·T of a layer's attention. With
   * stages, the mean over the tokens of the run.
   */
  flopsPerToken: number;
  /** Predicted peak of training. */
  bytes: MemoryPlan;
  /** Key/value cache for sampling one completion of a whole window. */
  keyValueCacheBytes: number;
  /** The weights in memory when sampling, by what they are stored in (`--weights`). */
  weightBytes: Readonly<Record<StoredAs, number>>;
  /** Tensors of a checkpoint: what is saved of the model, and the state of the optimizer. */
  checkpointBytes: number;
  machineBytes: number;
  /** How much of it no program uses now. */
  freeBytes: number;
  /** In the memory that the machine has, not only in what is free now. */
  fits: boolean;
  /** If it does not fit: what lowers the peak, in order. */
  keysToTurn: readonly MemoryAdvice[];
  /** Further keys that lower it. */
  otherKeys: readonly string[];
}

/** Known once the corpus has been read. */
interface CorpusSize {
  /** Of the tokenizer. */
  vocabularySize: number;
  trainingTokens: number;
  /** By default what follows from the number of tokens; must be given for pairs and whole documents. */
  supply?: TrainingSupply | undefined;
}

/**
 * @param machineBytes memory this process may use
 * @throws wrong input if the text is too short, the vocabulary too small or a pattern of `training.freeze` matches
 *   nothing, naming the keys to change. A run that is
 *   too large is not refused: `fits` is false
 */
export function planRun(config: Config, size: CorpusSize, machineBytes = availableBytes()): RunPlan {
  const { model, training } = config;
  const { contextLength: T } = model;
  const mostWindows = training.microBatchSize * Math.max(...valuesOf(training.microBatchesPerStep)); // of a step
  const supply = size.supply ?? plainSupply({ contextLength: T }, size.trainingTokens);
  const windowsPerEpoch = supply.windows;
  refuseSmallVocabulary(config, size.vocabularySize);
  refuseShortText(config, size.trainingTokens, mostWindows, supply);

  const windowTokens = microBatchTokens(config) / training.microBatchSize;
  const steps = lengthOf(config, windowsPerEpoch * windowTokens);
  const roles = parameterRoles(config, size.vocabularySize);
  refuseHighRank(adapterOf(config), roles.trained);
  const table = adapterOf(config) === null ? roles.saved : [...roles.frozen, ...roles.trained];
  const parameters = countWhere(table, () => true);
  const bytes = memoryPlan(config, roles, vocabularyRows(model, size.vocabularySize));
  const stages = plannedStages(config, roles, steps);
  const over = (amountOf: (stage: PlannedStage) => number): number => sumBefore(stages, steps, amountOf);
  const tokens = over(({ tokensPerStep }) => tokensPerStep);
  const flops = over(({ tokensPerStep, flopsPerToken: each }) => tokensPerStep * each);
  const keysToTurn = memoryAdvice(config, size.vocabularySize, machineBytes);
  const plan: RunPlan = {
    steps,
    tokensPerStep: tokens / steps,
    stages,
    tokens,
    epochs: tokens / windowTokens / windowsPerEpoch,
    windowsPerEpoch,
    ...supplyShares(supply, windowTokens),
    leftoverTokens: supply.leftoverTokens,
    splitDocuments: supply.splitDocuments,
    truncatedPairs: supply.truncatedPairs,
    omittedPairs: supply.omittedPairs,
    parameters,
    trainedParameters: countWhere(roles.trained, () => true),
    frozen: frozenParameters(config, size.vocabularySize),
    parametersByPart: partsOf(table),
    matmulParameters: countWhere(table, ({ multiplies }) => multiplies),
    flopsPerToken: stages.length === 1 ? stages[0]!.flopsPerToken : flops / tokens,
    checkpointBytes: checkpointBytes(config, roles),
    bytes,
    keyValueCacheBytes: keyValueCacheBytes(model),
    weightBytes: {
      float32: weightBytes(table, 'float32'),
      bfloat16: weightBytes(table, 'bfloat16'),
      int8: weightBytes(table, 'int8'),
    },
    machineBytes,
    freeBytes: freeBytes(),
    fits: bytes.total <= machineBytes,
    keysToTurn,
    otherKeys: otherKeys(config, size.vocabularySize, keysToTurn),
  };
  return Object.freeze(plan);
}

/** FLOPs per token in training, forward and backward. */
export function flopsPerToken(
  { contextLength: T, layers: L, heads: H, headSize: D }: Config['model'],
  { trained, frozen }: Pick<ParameterRoles, 'trained' | 'frozen'>,
): number {
  const first = Math.min(...trained.map(({ name }) => layerOf(name, L)));
  const matrices = (table: readonly ParameterSpec[], isReached: boolean): number =>
    countWhere(table, ({ name, multiplies }) => multiplies && layerOf(name, L) >= first === isReached);
  // The token embedding is a matrix of the output head, which is behind everything.
  const head = countWhere(frozen, ({ name, multiplies }) => multiplies && name.startsWith('embedding.') && first >= 0);
  const weights = 6 * countWhere(trained, ({ multiplies }) => multiplies) + 4 * matrices(frozen, true);
  const unreached = Math.max(0, first);
  return weights + 2 * matrices(frozen, false) + 2 * head + (12 * (L - unreached) + 4 * unreached) * H * D * T;
}

/** The same if every parameter is trained. @param tokens vocabulary size of the tokenizer */
export const modelFlopsPerToken = (model: Config['model'], tokens: number): number =>
  flopsPerToken(model, { trained: parameterTable(model, tokens), frozen: [] });

/** Number of parameters of a model without an adapter. @param tokens vocabulary size of the tokenizer */
export const parameterCount = (model: Config['model'], tokens: number): number =>
  countWhere(parameterTable(model, tokens), () => true);

/** The layer that a parameter belongs to; −1 for embeddings and L for what follows the layers. */
function layerOf(name: string, L: number): number {
  if (name.startsWith('embedding.')) return -1;
  const match = /^blocks\.(\d+)\./.exec(name);
  return match === null ? L : Number(match[1]);
}

/** @throws wrong input if the plan does not fit the machine, naming the keys to change, in order */
export function refuseTooLarge(plan: RunPlan): void {
  if (plan.fits) return;
  const parameters = plan.parameters.toLocaleString('en-US');
  throw wrongInput(
    `This model does not fit this machine: training ${parameters} parameters needs about ` +
      `${bytesText(plan.bytes.total)} of memory, and there are ${bytesText(plan.machineBytes)}. ${howToFit(plan)}`,
  );
}

/** What to do about a plan that does not fit, as a sentence. */
export const howToFit = ({ keysToTurn, otherKeys: others, machineBytes }: RunPlan): string =>
  adviceText(keysToTurn, others, machineBytes);

/** Every parameter belongs to exactly one part; norms of queries and keys count as norms. */
function partsOf(table: readonly ParameterSpec[]): RunPlan['parametersByPart'] {
  const part = ({ name }: ParameterSpec): keyof RunPlan['parametersByPart'] => {
    if (/\.lora[AB]$/.test(name)) return 'adapter';
    if (name.startsWith('embedding.')) return 'embedding';
    if (name.startsWith('head.')) return 'head';
    if (/[nN]orm\./.test(name)) return 'norms';
    return name.includes('.attention.') ? 'attention' : 'feedForward';
  };
  const sums = { embedding: 0, attention: 0, feedForward: 0, norms: 0, head: 0, adapter: 0 };
  for (const spec of table) sums[part(spec)] += elementCount(spec.shape);
  return Object.freeze(sums);
}

/** A stage with what a step of it costs. */
export interface PlannedStage extends RunStage {
  tokensPerStep: number;
  flopsPerToken: number;
}

const plannedStages = (config: Config, roles: ParameterRoles, steps: number): PlannedStage[] =>
  runStages(config, steps).map((stage) => ({
    ...stage,
    tokensPerStep: stage.microBatchesPerStep * microBatchTokens(config),
    flopsPerToken: flopsPerToken({ ...config.model, contextLength: stage.contextLength }, roles),
  }));

/** Steps of the run. */
function lengthOf(config: Config, tokensPerEpoch: number): number {
  const { training } = config;
  if (training.tokens !== null) return stepsForTokens(config, training.tokens);
  if (training.epochs !== null) return stepsForTokens(config, training.epochs * tokensPerEpoch);
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

function refuseShortText(
  config: Config,
  tokens: number,
  windowsPerStep: number,
  { windows, omittedPairs }: TrainingSupply,
): void {
  const { contextLength } = config.model;
  if (windows < 1 && omittedPairs > 0) {
    throw wrongInput(
      `Every preference pair for training is left out (${omittedPairs} with those for validation): the prompt does ` +
        `not fit model.contextLength, which is ${contextLength} tokens, or nothing follows it. Raise ` +
        'model.contextLength, or correct the pairs.',
    );
  }
  if (windows < 1) throw tooShort(tokens, contextLength);
  if (windowsPerStep > windows) {
    const isPairs = config.training.objective.kind === 'dpo';
    const leftOut = omittedPairs > 0 ? ` (${omittedPairs} are left out: the prompt fills the context)` : '';
    const unit = isPairs ? `preference pairs${leftOut}` : `windows of ${contextLength + 1} tokens`;
    throw wrongInput(
      `The training text has ${windows} ${unit}, ` +
        `but one step takes ${windowsPerStep}. Lower training.microBatchSize or training.microBatchesPerStep, ` +
        (isPairs ? 'or add pairs to corpus.sources.' : 'shorten model.contextLength, or add text to corpus.sources.'),
    );
  }
}
