/** From logits to a token: pure functions of (logits, settings, what was said before, a uniform number). */
import {
  addLogitBias,
  forbid,
  keepMinP,
  keepTopK,
  keepTopP,
  likeliest,
  penaliseRepetition,
  scaleByTemperature,
  softmax,
  type Scores,
} from './filters.ts';

interface SamplerSettings {
  /** Divides the logits before the softmax; 0 takes the likeliest token (the first of equals). */
  temperature: number;
  /** Draw from the k likeliest tokens only; null draws from all. */
  topK: number | null;
  /** Draw from the smallest set of likeliest tokens whose probabilities sum to at least this; null from all. */
  topP: number | null;
  /** Draw from tokens at least this share as likely as the likeliest; null from all. */
  minP: number | null;
  /** Above 1 makes tokens that stand in prompt or completion less likely; 1 changes nothing. */
  repetitionPenalty: number;
  /** Added to the logits of single tokens, by token id. */
  logitBias: ReadonlyMap<number, number>;
}

/** What a draw depends on besides logits and settings. */
interface Spoken {
  /** The distinct tokens of prompt and completion so far. */
  seen: Iterable<number>;
  /** Tokens that may not come now. */
  forbidden: Iterable<number>;
}

const nothing: Spoken = { seen: [], forbidden: [] };

/**
 * Draws a token id from `logits` (V).
 *
 * @param uniform in [0, 1); the same number gives the same token
 */
export function sampleToken(
  logits: Float32Array,
  settings: SamplerSettings,
  uniform: number,
  spoken: Spoken = nothing,
): number {
  const scores = filteredScores(logits, settings, spoken);
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
  return last; // the sum fell short of 1 by rounding
}

/** The scores that a token is drawn from, in the order that filters.ts names; at temperature 0 nothing is narrowed. */
export function filteredScores(
  logits: Float32Array,
  settings: SamplerSettings,
  { seen, forbidden }: Spoken = nothing,
): Scores {
  const { temperature, topK, topP, minP, repetitionPenalty, logitBias } = settings;
  let scores = addLogitBias(new Float64Array(logits), logitBias);
  scores = forbid(penaliseRepetition(scores, repetitionPenalty, seen), forbidden);
  if (temperature === 0) return scores;
  scores = scaleByTemperature(scores, temperature);
  return keepMinP(keepTopP(keepTopK(scores, topK), topP), minP);
}

/** A token and the natural logarithm of its probability. */
export interface Alternative {
  tokenId: number;
  logProbability: number;
}

/** ln p of one token by the model itself: of the logits as they are, before any setting. */
export function logProbability(logits: Float32Array, tokenId: number): number {
  return logits[tokenId]! - logSumOfExponentials(logits);
}

/** The n likeliest of so many tokens by the model itself, likeliest first, of equals the lower id. */
export function alternatives(logits: Float32Array, n: number, tokens = logits.length): Alternative[] {
  const best: number[] = []; // ids, likeliest first
  for (let tokenId = 0; tokenId < tokens; tokenId++) {
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
