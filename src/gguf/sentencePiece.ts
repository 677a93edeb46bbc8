/**
 * SentencePiece's BPE in two forms: a tokenizer.json lists the merges in order; GGUF has a score for each token, and of
 * all neighbours that together are a token, those of the highest score are merged first.
 */

export type Merge = [left: string, right: string];

/**
 * The merges that scores stand for, in the order in which Hugging Face's converter writes them.
 * @param tokens ids by spelling, of the tokens that are ordinary text
 */
export function mergesOf(tokens: ReadonlyMap<string, number>, scores: ReadonlyMap<number, number>): Merge[] {
  const merges = [...tokens].flatMap(([token, id]) =>
    partsOf(token, tokens).map((parts) => ({ parts, score: scores.get(id)!, id })),
  );
  merges.sort((a, b) => b.score - a.score || a.id - b.id);
  return merges.map(({ parts }) => parts);
}

/** The ways to make a token of two others, by the ids of the left one, then of the right one. */
function partsOf(token: string, tokens: ReadonlyMap<string, number>): Merge[] {
  const parts: Merge[] = [];
  for (let at = 1; at < token.length; at++) {
    const [left, right] = [token.slice(0, at), token.slice(at)];
    if (tokens.has(left) && tokens.has(right)) parts.push([left, right]);
  }
  const idOf = (part: string): number => tokens.get(part)!;
  return parts.sort(([a, b], [c, d]) => idOf(a) - idOf(c) || idOf(b) - idOf(d));
}

/**
 * Scores with which llama.cpp merges in the same order: that of a token is minus its place among the merged tokens.
 * @returns the scores by id, or why there are none, in words
 */
export function scoresOf(tokens: ReadonlyMap<string, number>, merges: readonly Merge[]): Map<number, number> | string {
  const listed = new Set(merges.map((merge) => merge.join(' ')));
  for (const token of tokens.keys()) {
    const missing = partsOf(token, tokens).find((parts) => !listed.has(parts.join(' ')));
    if (missing !== undefined)
      return `no merge of ${JSON.stringify(missing.join(' '))}, although together they are a token`;
  }
  const scores = new Map<number, number>();
  let last = -1;
  for (const merge of merges) {
    const id = tokens.get(merge.join(''))!;
    if (id === last) continue;
    if (scores.has(id)) return `merges of ${JSON.stringify(merge.join(''))} between those of other tokens`;
    scores.set(id, 0 - scores.size); // not −0
    last = id;
  }
  for (const id of tokens.values()) if (!scores.has(id)) scores.set(id, -tokens.size);
  return scores;
}
