/** From logits to a token: pure functions of (logits, settings, a uniform number). */

export interface SamplerSettings {
  /** Divides the logits before the softmax; 0 takes the likeliest token (the first of equals). */
  temperature: number;
  /** Draw from the k likeliest tokens only; null draws from all. */
  topK: number | null;
}

/**
 * Draws a token id from `logits` (V). Filters in order: temperature, then top-k.
 *
 * @param uniform in [0, 1); the same number gives the same token
 */
export function sampleToken(logits: Float32Array, { temperature, topK }: SamplerSettings, uniform: number): number {
  if (temperature === 0) return likeliest(logits);
  const probabilities = softmax(topK === null ? logits : keepTopK(logits, topK), temperature);
  let rest = uniform;
  let last = 0;
  for (const [tokenId, probability] of probabilities.entries()) {
    if (probability === 0) continue;
    last = tokenId;
    rest -= probability;
    if (rest < 0) return tokenId;
  }
  return last; // the sum fell short of 1 by rounding
}

/** The id of the largest logit, the first of equals. */
export function likeliest(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i;
  return best;
}

/** Logits with all but the k largest at −∞; equals at the border are all kept, as Hugging Face does. */
export function keepTopK(logits: Float32Array, k: number): Float32Array {
  if (k >= logits.length) return logits;
  const threshold = Float32Array.from(logits).sort()[logits.length - k]!;
  return logits.map((logit) => (logit < threshold ? -Infinity : logit));
}

/** Probabilities in double precision; −∞ becomes exactly 0. */
export function softmax(logits: Float32Array, temperature: number): Float64Array {
  const largest = logits[likeliest(logits)]!;
  const weights = Float64Array.from(logits, (logit) => Math.exp((logit - largest) / temperature));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}
