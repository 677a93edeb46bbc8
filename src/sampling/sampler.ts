/** Draws a token from logits: pure functions of the logits, the settings, the tokens so far and a uniform number. */
import { wrongInput } from '../errors.ts';
import {
  addLogitBias,
  forbid,
  keepMinP,
  keepTopK,
  keepTopP,
  likeliest,
  penaliseDrawn,
  penaliseRepetition,
  scaleByTemperature,
  softmax,
  type Scores,
} from './filters.ts';

interface SamplerSettings {
  /** Divides the logits before the softmax. 0 always takes the likeliest token (the first one of equals). */
  temperature: number;
  /** Draw from the k likeliest tokens; null: from all. */
  topK: number | null;
  /** Draw from the smallest set of the likeliest tokens whose probabilities sum to at least this; null: from all. */
  topP: number | null;
  /** Draw from tokens that are at least this share as likely as the likeliest one; null: from all. */
  minP: number | null;
  /** Values above 1 make tokens of the prompt and completion less likely; 1 has no effect. */
  repetitionPenalty: number;
  /** Subtracted from the logits of tokens that the completion has, once each; 0 has no effect. */
  presencePenalty?: number;
  /** The same, for each time that the completion has the token. */
  frequencyPenalty?: number;
  /** Added to logits, by token id. */
  logitBias: ReadonlyMap<number, number>;
}

/** The state of the text that a draw depends on. */
interface TextState {
  /** The distinct tokens of prompt and completion. */
  seen: Iterable<number>;
  /** How often the completion has each of its tokens. */
  drawn?: ReadonlyMap<number, number>;
  /** Tokens that must not be drawn now. */
  forbidden: Iterable<number>;
}

const noState: TextState = { seen: [], forbidden: [] };

/**
 * Draws a token id from `logits` (V).
 *
 * @param uniform in [0, 1); the same number gives the same token
 * @throws wrongInput if every token is forbidden
 */
export function sampleToken(
  logits: Float32Array,
  settings: SamplerSettings,
  uniform: number,
  state: TextState = noState,
): number {
  // The usual case of temperature 0: no copy of the logits, which takes a third of the time of choosing a token.
  if (settings.temperature === 0 && !changesScores(settings) && isEmpty(state.forbidden)) return likeliest(logits);
  const scores = filteredScores(logits, settings, state);
  if (scores[likeliest(scores)] === -Infinity) {
    throw wrongInput('No token may be drawn: minTokens forbids the tokens that end a completion, and here all do.');
  }
  if (settings.temperature === 0) return likeliest(scores);
  const probabilities = softmax(scores);
  let rest = uniform;
  let last = 0;
  for (let tokenId = 0; tokenId < probabilities.length; tokenId++) {
    const probability = probabilities[tokenId]!;
    if (probability === 0) continue;
    last = tokenId;
    rest -= probability;
    if (rest < 0) return tokenId;
  }
  return last; // rounding made the sum less than 1
}

const changesScores = ({ logitBias, repetitionPenalty, presencePenalty = 0, frequencyPenalty = 0 }: SamplerSettings) =>
  logitBias.size > 0 || repetitionPenalty !== 1 || presencePenalty !== 0 || frequencyPenalty !== 0;

const isEmpty = (items: Iterable<unknown>): boolean => items[Symbol.iterator]().next().done === true;

/** Applies the filters in the order given in filters.ts; at temperature 0 only the first four. */
export function filteredScores(
  logits: Float32Array,
  settings: SamplerSettings,
  { seen, drawn = new Map(), forbidden }: TextState = noState,
): Scores {
  const { temperature, topK, topP, minP, repetitionPenalty, logitBias } = settings;
  const { presencePenalty = 0, frequencyPenalty = 0 } = settings;
  let scores = addLogitBias(new Float64Array(logits), logitBias);
  scores = penaliseRepetition(scores, repetitionPenalty, seen);
  scores = forbid(penaliseDrawn(scores, presencePenalty, frequencyPenalty, drawn), forbidden);
  if (temperature === 0) return scores;
  scores = scaleByTemperature(scores, temperature);
  return keepMinP(keepTopP(keepTopK(scores, topK), topP), minP);
}

/** ln p of one token, from the logits before any filter. */
export function logProbability(logits: Float32Array, tokenId: number): number {
  return logits[tokenId]! - logSumOfExponentials(logits);
}

/**
 * The n likeliest tokens before any filter with their ln p, likeliest first; of equals, the lower id first.
 *
 * @param tokens only ids of tokens are considered; the rest is padding of the vocabulary, and gaps in it
 */
export function alternatives(
  logits: Float32Array,
  n: number,
  tokens: { vocabularySize: number; unusedIds: readonly number[] } = { vocabularySize: logits.length, unusedIds: [] },
): { tokenId: number; logProbability: number }[] {
  const unused = new Set(tokens.unusedIds);
  const best: number[] = []; // ids, likeliest first
  for (let tokenId = 0; tokenId < tokens.vocabularySize; tokenId++) {
    if (unused.has(tokenId)) continue;
    const last = best.at(-1);
    if (best.length === n && (last === undefined || logits[tokenId]! <= logits[last]!)) continue;
    let at = best.length;
    while (at > 0 && logits[tokenId]! > logits[best[at - 1]!]!) at--;
    best.splice(at, 0, tokenId);
    if (best.length > n) best.pop();
  }
  const norm = logSumOfExponentials(logits);
  return best.map((tokenId) => ({ tokenId, logProbability: logits[tokenId]! - norm }));
}

function logSumOfExponentials(logits: Float32Array): number {
  const largest = logits[likeliest(logits)]!;
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i]! - largest);
  return largest + Math.log(sum);
}
