/**
 * How fast a trained model generates tokens, and where the time of a token goes. For every token all weights are read
 * once, and the keys and values of the text so far: the speed at which memory is read is the bound.
 */
import { countWhere, keyValueCacheBytes } from '../training/plan/memory.ts';
import type { ModelConfig, ParameterSpec } from '../model/parameters.ts';
import type { PartTime } from '../runtime/decoding/decoder.ts';
import type { NodeTiming } from '../runtime/trace.ts';
import type { StoredAs } from '../runtime/variables.ts';
import { openDecoding, type Decoding } from '../sampling/decoding.ts';
import { generate } from '../sampling/generate.ts';
import type { LoadedModel } from '../sampling/loadModel.ts';
import { completeSettings, defaultSettings } from '../sampling/settings.ts';
import { weightBytes } from '../sampling/weightStorage.ts';
import { median } from '../statistics.ts';
import { matmulMeter } from './matmulPeak.ts';
import { profileOf } from './profile.ts';
import { readingSpeed } from './readingSpeed.ts';

interface DecodeBenchmark {
  /** Of all prompts together, from the first token of a completion to the last. */
  tokensPerSecond: number;
  /** Tokens per second at which the memory would be read at full speed. */
  bound: number;
  /** tokensPerSecond / bound */
  share: number;
  /** Reading a prompt. */
  prefillTokensPerSecond: number;
  /** Of reading a prompt: FLOPs counted as for training, the output head for one row. */
  prefillGflops: number;
  matmulGflops: number;
  /** Time of a step, which generates a token of each prompt: operations, between them, and choosing the tokens. */
  msPerStep: number;
  /** By kind, the slowest first: `ms` of a step and its share. */
  operations: { operation: string; count: number; ms: number; share: number }[];
  /** Of a step of the recorded program: what is not in its operations, such as starting them. */
  betweenOperationsMs: number;
  /** Outside of the program: choosing tokens, and their texts. */
  choosingMs: number;
  /** Bytes read for a step: weights, with their scales; and the keys and values of the texts so far, on average. */
  weightBytes: number;
  cacheBytes: number;
  readGigabytesPerSecond: number;
  weights: StoredAs;
  /** Prompts at the same time. */
  batch: number;
  promptTokens: number;
  /** How many were timed. */
  tokens: number;
  device: string;
}

interface DecodeOptions {
  /** Prompts generated at the same time. */
  batch: number;
  /** Of each prompt, at most the context length less one token. */
  promptTokens: number;
  /** At least so many are timed. */
  tokens: number;
}

const profiledSteps = 5;
const prefills = 3;
/**
 * Steps are timed in groups, in turns with reading the memory, and the median group counts: machines drift, and a step
 * now and then enlarges the cache or is held up.
 */
const leastOfGroup = { steps: 16, ms: 200 };
const fewestGroups = 8;

/** Of one step, on average over a group. */
interface StepTime {
  /** From its start to that of the next. */
  ms: number;
  choosingMs: number;
  /** Where the time in it went, if the model's steps are clm's own. */
  parts: PartTime[] | null;
}

/** Bytes of the weights, and of the keys and values of all prompts with their completions. */
export const bytesOfDecoding = ({ config, table, weights }: LoadedModel, options: DecodeOptions): number => {
  const contextLength = options.promptTokens + tokensOfCompletion(config.model, options);
  return weightBytes(table, weights) + options.batch * keyValueCacheBytes({ ...config.model, contextLength });
};

const tokensOfCompletion = ({ contextLength }: ModelConfig, { tokens, promptTokens }: DecodeOptions): number =>
  Math.max(2, Math.min(tokens, contextLength - promptTokens));

/** Measures generation with prompts of made-up tokens. */
export async function decodeBenchmark(loaded: LoadedModel, options: DecodeOptions): Promise<DecodeBenchmark> {
  const { config, tokenizer, session, table, weights } = loaded;
  const { batch, promptTokens } = options;
  const { model } = config;
  const decoding = openDecoding(session, model, table, batch);
  const maxTokens = tokensOfCompletion(model, options);
  const settings = completeSettings(
    defaultSettings(config),
    { temperature: 0, maxTokens, minTokens: maxTokens, beyondContext: 'stop' },
    tokenizer,
  );
  const prompts = Array.from({ length: batch }, (_, i) => idsOf(promptTokens, i, tokenizer.vocabularySize));
  const requests = prompts.map((promptTokenIds) => ({ prompt: '', promptTokenIds, settings }));
  const complete = async (of: Decoding): Promise<void> => {
    for await (const _ of generate(of, tokenizer, requests, { order: 'completed' }));
  };
  await complete(decoding); // records the programs
  const groups: StepTime[] = [];
  const readingSpeeds: number[] = [];
  let timedSteps = 0;
  while (groups.length < fewestGroups || timedSteps * batch < options.tokens) {
    const timed = inGroups(decoding, async (steps, of) => {
      timedSteps += steps;
      groups.push(of);
      readingSpeeds.push(await readingSpeed(config.device, session));
    });
    await complete(timed.decoding);
    await timed.end();
  }
  const bytesPerSecond = median(readingSpeeds);
  const msPerStep = median(groups.map(({ ms }) => ms));
  const choosingMs = median(groups.map((group) => group.choosingMs));
  const { prefillMs, matmulGflops } = await measurePrefill(loaded, decoding, prompts[0]!);
  const ofParts = partsOf(groups);
  const profile = ofParts ?? (await profileSteps(loaded, decoding, prompts));
  const { operations, betweenOperationsMs } = fitted(profile, msPerStep - choosingMs);
  const bytesOfStep = bytesOfWeights(model, table, weights, batch);
  const cachedTokens = promptTokens + maxTokens / 2;
  const cacheBytes = batch * cachedTokens * 2 * model.layers * model.keyValueHeads * model.headSize * 4;
  const bound = (batch * bytesPerSecond) / (bytesOfStep + cacheBytes);
  const tokensPerSecond = (batch * 1000) / msPerStep;
  return {
    tokensPerSecond,
    bound,
    share: tokensPerSecond / bound,
    prefillTokensPerSecond: (promptTokens / prefillMs) * 1000,
    prefillGflops: prefillFlops(model, table, promptTokens) / prefillMs / 1e6,
    matmulGflops,
    msPerStep,
    operations: operations.map((each) => ({ ...each, share: each.ms / msPerStep })),
    betweenOperationsMs,
    choosingMs,
    weightBytes: bytesOfStep,
    cacheBytes,
    readGigabytesPerSecond: bytesPerSecond / 1e9,
    weights,
    batch,
    promptTokens,
    tokens: timedSteps * batch,
    device: session.settings.device,
  };
}

const idsOf = (count: number, salt: number, vocabularySize: number): number[] =>
  Array.from({ length: count }, (_, i) => (i * 7919 + salt * 31) % vocabularySize);

/** Of a prompt, in turns with square products, because the speed of a machine drifts. */
async function measurePrefill(
  { session }: LoadedModel,
  decoding: Decoding,
  prompt: readonly number[],
): Promise<{ prefillMs: number; matmulGflops: number }> {
  const measureMatmul = await matmulMeter(session);
  const times: number[] = [];
  let matmulGflops = 0;
  for (let i = 0; i < prefills; i++) {
    matmulGflops = Math.max(matmulGflops, await measureMatmul());
    const startMs = performance.now();
    await decoding.prefill(0, prompt);
    times.push(performance.now() - startMs);
    decoding.free(0);
  }
  return { prefillMs: median(times), matmulGflops };
}

/**
 * Decoding whose steps are timed in groups. A group that is complete is reported before the next step, outside of what
 * is timed; the last one by `end`.
 */
function inGroups(
  decoding: Decoding,
  report: (steps: number, group: StepTime) => Promise<void>,
): { decoding: Decoding; end(): Promise<void> } {
  let steps = 0;
  let startMs = 0;
  let stepsMs = 0;
  const end = async (): Promise<void> => {
    if (steps === 0) return;
    const ms = (performance.now() - startMs) / steps;
    const times = decoding.takeTimes();
    const parts = times?.map(({ part, count, ms }) => ({ part, count: count / steps, ms: ms / steps })) ?? null;
    await report(steps, { ms, choosingMs: ms - stepsMs / steps, parts });
    steps = stepsMs = 0;
  };
  const step: Decoding['step'] = async (next) => {
    if (steps >= leastOfGroup.steps && performance.now() - startMs >= leastOfGroup.ms) await end();
    const stepMs = performance.now();
    if (steps === 0) {
      decoding.takeTimes();
      startMs = stepMs;
    }
    const logits = await decoding.step(next);
    stepsMs += performance.now() - stepMs;
    steps++;
    return logits;
  };
  return { decoding: { ...decoding, step }, end };
}

interface OperationTime {
  operation: string;
  count: number;
  ms: number;
}

/** The parts of a step, the slowest first; null if TensorFlow computes it. */
function partsOf(groups: readonly StepTime[]): OperationTime[] | null {
  const parts = groups.map((group) => group.parts).filter((each) => each !== null);
  if (parts.length === 0) return null;
  const named = parts[0]!.map(({ part, count }, i) => ({
    operation: part,
    count,
    ms: median(parts.map((of) => of[i]!.ms)),
  }));
  return named.sort((a, b) => b.ms - a.ms);
}

/** The operations of a step of the recorded program, by kind. */
async function profileSteps(
  { session }: LoadedModel,
  decoding: Decoding,
  prompts: readonly (readonly number[])[],
): Promise<OperationTime[]> {
  const step = () => decoding.step(new Map(prompts.map((_, slot) => [slot, 0])));
  const readPrompts = async (): Promise<void> => {
    for (const [slot, prompt] of prompts.entries()) await decoding.prefill(slot, prompt);
    await step(); // which may have to enlarge the cache
  };
  const timings: NodeTiming[] = [];
  for (let made = 0; made < profiledSteps; made++) {
    if (made === 0 || decoding.length(0) === decoding.contextLength) await readPrompts();
    timings.push(...(await session.traced(async () => void (await step()))));
  }
  for (const slot of prompts.keys()) decoding.free(slot);
  return profileOf(timings, profiledSteps).map(({ threadMs, ...rest }) => ({ ...rest, ms: threadMs }));
}

/** Operations that together take no longer than the program: tracing may slow a step of microseconds down. */
function fitted(
  operations: readonly OperationTime[],
  programMs: number,
): { operations: OperationTime[]; betweenOperationsMs: number } {
  const sum = operations.reduce((total, { ms }) => total + ms, 0);
  const scale = Math.min(1, programMs / sum);
  return {
    operations: operations.map(({ operation, count, ms }) => ({ operation, count, ms: ms * scale })),
    betweenOperationsMs: programMs - sum * scale,
  };
}

/** Of a row per prompt of the embeddings that are only looked up, and of all else. */
function bytesOfWeights(
  { tiedEmbeddings }: ModelConfig,
  table: readonly ParameterSpec[],
  weights: StoredAs,
  batch: number,
): number {
  const isLookedUp = ({ name }: ParameterSpec): boolean =>
    name === 'embedding.positions' ||
    name.startsWith('embedding.values.') ||
    (name === 'embedding.tokens' && !tiedEmbeddings);
  const read = table.map((spec) => (isLookedUp(spec) ? { ...spec, shape: [batch, spec.shape[1]!] } : spec));
  return weightBytes(read, weights);
}

/** As counted for training: products with weights, and attention over whole squares; the output head for one row. */
function prefillFlops(model: ModelConfig, table: readonly ParameterSpec[], tokens: number): number {
  const isHead = ({ name }: ParameterSpec): boolean => name === 'head.weight' || name === 'embedding.tokens';
  const inBlocks = countWhere(table, (spec) => spec.multiplies && !isHead(spec));
  const head = countWhere(table, (spec) => spec.multiplies && isHead(spec));
  const { layers, heads, headSize } = model;
  return 2 * (inBlocks * tokens + head) + 4 * layers * heads * headSize * tokens ** 2;
}
