/**
 * Filters that change the distribution before a token is drawn (logits processors in transformers). Scores (V) are
 * logits in double precision; −∞ excludes a token. Every filter changes the scores in place and returns them. The order
 * and the tokens kept are those of transformers: logit bias, repetition penalty, forbidden tokens, temperature, top-k,
 * top-p, min-p. Presence and frequency penalty, which transformers lacks, follow the repetition penalty.
 */
export type Scores = Float64Array;

/** Adds a bias to the logits of some tokens. */
export function addLogitBias(scores: Scores, bias: ReadonlyMap<number, number>): Scores {
  for (const [tokenId, value] of bias) scores[tokenId]! += value;
  return scores;
}

/** The largest magnitude of a score: an absurd penalty must not make it infinite, which would be excluded or NaN. */
const withinRange = (score: number): number => Math.max(-Number.MAX_VALUE, Math.min(Number.MAX_VALUE, score));

/**
 * Makes tokens that already occur in the text less likely (Keskar et al. 2019, https://arxiv.org/abs/1909.05858,
 * section 4.1): positive logits are divided by the penalty, negative ones multiplied.
 */
export function penaliseRepetition(scores: Scores, penalty: number, seen: Iterable<number>): Scores {
  if (penalty === 1) return scores;
  for (const tokenId of seen) {
    const score = scores[tokenId]!;
    if (score === -Infinity) continue; // excluded
    scores[tokenId] = withinRange(score < 0 ? score * penalty : score / penalty);
  }
  return scores;
}

/**
 * Makes tokens that the completion already has less likely, by a number for each token and one for each time it was
 * drawn (https://platform.openai.com/docs/api-reference/completions).
 *
 * @param drawn how often, by token id
 */
export function penaliseDrawn(
  scores: Scores,
  presence: number,
  frequency: number,
  drawn: ReadonlyMap<number, number>,
): Scores {
  if (presence === 0 && frequency === 0) return scores;
  for (const [tokenId, count] of drawn) scores[tokenId]! -= presence + frequency * count;
  return scores;
}

export function forbid(scores: Scores, tokenIds: Iterable<number>): Scores {
  for (const tokenId of tokenIds) scores[tokenId] = -Infinity;
  return scores;
}

/**
 * Close to temperature 0 the quotients leave the range of numbers. Then the largest score is subtracted first, which
 * changes no probability: its token keeps a score of 0, and the others go to −∞.
 * @param temperature greater than 0
 */
export function scaleByTemperature(scores: Scores, temperature: number): Scores {
  if (temperature === 1) return scores;
  const largest = scores[likeliest(scores)]!;
  const shift = largest > -Infinity && !Number.isFinite(largest / temperature) ? largest : 0;
  for (let i = 0; i < scores.length; i++) scores[i] = (scores[i]! - shift) / temperature;
  return scores;
}

/** Keeps the k largest scores, and all that equal the k-th. */
export function keepTopK(scores: Scores, k: number | null): Scores {
  if (k === null || k >= scores.length) return scores;
  return dropBelow(scores, kthLargest(scores, k));
}

/**
 * Nucleus sampling (Holtzman et al. 2019, https://arxiv.org/abs/1904.09751): keeps the smallest set of the likeliest
 * tokens whose probabilities sum to at least p.
 */
export function keepTopP(scores: Scores, p: number | null): Scores {
  if (p === null || p >= 1) return scores;
  const probabilities = softmax(scores);
  // Sorting the whole vocabulary is slow. If the probabilities below a bound sum to at most 1 − p, those tokens are all
  // dropped, and only the others need to be sorted.
  const sumBelow = (bound: number): number => probabilities.reduce((sum, each) => (each < bound ? sum + each : sum), 0);
  let least = Number.MIN_VALUE; // tokens with probability 0 are already excluded
  for (let k = 64; k < scores.length; k *= 8) {
    const bound = kthLargest(probabilities, k);
    if (sumBelow(bound) > 1 - p) continue;
    least = Math.max(least, bound);
    break;
  }
  const sorted = probabilities.filter((each) => each >= least).sort();
  let cumulative = sumBelow(least);
  let dropped = 0;
  while (dropped < sorted.length - 1 && (cumulative += sorted[dropped]!) <= 1 - p) dropped++;
  const border = sorted[dropped]!;
  let equalsDropped = dropped - sorted.indexOf(border); // of equal probabilities the lowest ids are dropped
  for (let i = 0; i < scores.length; i++) {
    if (probabilities[i]! < border || (probabilities[i] === border && equalsDropped-- > 0)) scores[i] = -Infinity;
  }
  return scores;
}

/**
 * Keeps tokens that are at least `share` times as likely as the likeliest one (Nguyen et al. 2024,
 * https://arxiv.org/abs/2407.01082).
 */
export function keepMinP(scores: Scores, share: number | null): Scores {
  if (share === null || share === 0) return scores;
  const probabilities = softmax(scores);
  const threshold = share * probabilities[likeliest(probabilities)]!;
  for (let i = 0; i < scores.length; i++) if (probabilities[i]! < threshold) scores[i] = -Infinity;
  return scores;
}

/**
 * The k-th largest value (k from 1), by quickselect (Hoare 1961), which partitions only the part that contains it.
 */
export function kthLargest(values: Float64Array, k: number): number {
  const parted = Float64Array.from(values);
  const wanted = parted.length - k;
  for (let low = 0, high = parted.length - 1; low < high; ) {
    const pivot = parted[(low + high) >> 1]!;
    let left = low;
    let right = high;
    while (left <= right) {
      while (parted[left]! < pivot) left++;
      while (parted[right]! > pivot) right--;
      if (left > right) break;
      [parted[left], parted[right]] = [parted[right]!, parted[left]!];
      left++;
      right--;
    }
    if (wanted <= right) high = right;
    else if (wanted >= left) low = left;
    else break;
  }
  return parted[wanted]!;
}

/** The index of the largest value; the first one of equals. */
export function likeliest(values: Float32Array | Float64Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

/** Probabilities; −∞ becomes exactly 0. */
export function softmax(scores: Float32Array | Float64Array): Float64Array {
  const largest = scores[likeliest(scores)]!;
  const weights = new Float64Array(scores.length);
  let sum = 0;
  for (let i = 0; i < scores.length; i++) sum += weights[i] = Math.exp(scores[i]! - largest);
  for (let i = 0; i < scores.length; i++) weights[i]! /= sum;
  return weights;
}

function dropBelow(scores: Scores, threshold: number): Scores {
  for (let i = 0; i < scores.length; i++) if (scores[i]! < threshold) scores[i] = -Infinity;
  return scores;
}
