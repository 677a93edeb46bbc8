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
/** Completions go on for at least so long; a small model makes thousands of tokens in it. */
const shortestMs = 1000;

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
  let firstStepMs: number | undefined;
  let stepsMs = 0;
  const timed: Decoding = {
    ...decoding,
    step: async (next) => {
      const startMs = performance.now();
      firstStepMs ??= startMs;
      const logits = await decoding.step(next);
      stepsMs += performance.now() - startMs;
      return logits;
    },
  };
  /** Completes all prompts; times it from when they are read. */
  const complete = async (): Promise<{ ms: number; stepsMs: number }> => {
    const requests = prompts.map((promptTokenIds) => ({ prompt: '', promptTokenIds, settings }));
    firstStepMs = undefined;
    stepsMs = 0;
    for await (const _ of generate(timed, tokenizer, requests, { order: 'completed' }));
    return { ms: performance.now() - firstStepMs!, stepsMs };
  };
  await complete(); // records the programs
  const rounds: { ms: number; stepsMs: number }[] = [];
  const steps = maxTokens - 1; // the first token comes from the prefill
  const readingSpeeds: number[] = [];
  let roundsMs = 0;
  while (rounds.length * steps < options.tokens || roundsMs < shortestMs) {
    const round = await complete();
    rounds.push(round);
    roundsMs += round.ms;
    // In turns, because machines drift; with many short rounds, after every tenth of the time.
    if (roundsMs >= (readingSpeeds.length * shortestMs) / 10) readingSpeeds.push(await readingSpeed(config.device));
  }
  const bytesPerSecond = median(readingSpeeds);
  const msPerStep = median(rounds.map(({ ms }) => ms)) / steps;
  const choosingMs = median(rounds.map((round) => round.ms - round.stepsMs)) / steps;
  const { prefillMs, matmulGflops } = await measurePrefill(loaded, decoding, prompts[0]!);
  const { operations, betweenOperationsMs } = await profileSteps(loaded, decoding, prompts, msPerStep - choosingMs);
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
    tokens: rounds.length * steps * batch,
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

/** The operations of a step, by kind. @param programMs of a step that is not traced, to which the times add up */
async function profileSteps(
  { session }: LoadedModel,
  decoding: Decoding,
  prompts: readonly (readonly number[])[],
  programMs: number,
): Promise<{ operations: { operation: string; count: number; ms: number }[]; betweenOperationsMs: number }> {
  const step = () => decoding.step(new Map(prompts.map((_, slot) => [slot, 0])));
  const readPrompts = async (): Promise<void> => {
    for (const [slot, prompt] of prompts.entries()) await decoding.prefill(slot, prompt);
    await step(); // which may have to enlarge the cache
  };
  const timings: NodeTiming[] = [];
  const parts: PartTime[] = [];
  for (let made = 0; made < profiledSteps; made++) {
    if (made === 0 || decoding.length(0) === decoding.contextLength) await readPrompts();
    decoding.takeTimes();
    const traced = await session.traced(async () => void (await step()));
    const times = decoding.takeTimes();
    if (times === null) timings.push(...traced);
    else parts.push(...times);
  }
  for (const slot of prompts.keys()) decoding.free(slot);
  const profile =
    parts.length > 0
      ? summed(parts)
      : profileOf(timings, profiledSteps).map(({ threadMs, ...rest }) => ({ ...rest, ms: threadMs }));
  const sum = profile.reduce((total, { ms }) => total + ms, 0);
  const scale = Math.min(1, programMs / sum); // tracing may slow a step of microseconds down
  return {
    operations: profile.map(({ operation, count, ms }) => ({ operation, count, ms: ms * scale })),
    betweenOperationsMs: programMs - sum * scale,
  };
}

/** Of one step, by part, the slowest first. */
function summed(parts: readonly PartTime[]): { operation: string; count: number; ms: number }[] {
  const names = [...new Set(parts.map(({ part }) => part))];
  const mean = (part: string, field: 'count' | 'ms'): number =>
    parts.reduce((sum, each) => sum + (each.part === part ? each[field] : 0), 0) / profiledSteps;
  return names
    .map((part) => ({ operation: part, count: mean(part, 'count'), ms: mean(part, 'ms') }))
    .sort((a, b) => b.ms - a.ms);
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
