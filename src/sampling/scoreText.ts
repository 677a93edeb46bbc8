/** Log-probabilities of given texts, and which of several continuations a model finds likeliest. */
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { wrongInput } from '../errors.ts';
import type { ChoiceScores, TextScore } from './scores.ts';
import { textLosses, type Scoring } from './scoring.ts';

export interface ScoringTools {
  scoring: Scoring;
  tokenizer: Tokenizer;
}

/** @throws wrong input where the text has less than two tokens: the first has nothing before it */
export async function scoreText({ scoring, tokenizer }: ScoringTools, text: string): Promise<TextScore> {
  const tokenIds = tokenizer.encode(text);
  if (tokenIds.length < 2)
    throw wrongInput(`"${text}" has less than two tokens: there is nothing before the first to score it by.`);
  return scoreFrom(await textLosses(scoring, tokenIds), tokenIds, 1, tokenizer);
}

/**
 * A choice's score is that of the tokens that it changes: those of prompt + choice after the last one that is also the
 * prompt's own. A choice should begin with the space that parts it from the prompt.
 *
 * @throws wrong input where the prompt is empty and no token stands for the beginning of a text
 */
export async function scoreChoices(
  { scoring, tokenizer }: ScoringTools,
  prompt: string,
  choices: readonly string[],
): Promise<ChoiceScores> {
  const scores: ({ text: string } & TextScore)[] = [];
  const own = tokenizer.encode(prompt);
  for (const text of choices) {
    if (text === '') throw wrongInput('A choice is empty: there is nothing to score.');
    let tokenIds = tokenizer.encode(prompt + text);
    let shared = 0;
    while (shared < own.length && shared < tokenIds.length - 1 && own[shared] === tokenIds[shared]) shared++;
    if (shared === 0) {
      if (tokenizer.endOfText === null)
        throw wrongInput('The prompt is empty: there is nothing before a choice to score it by.');
      tokenIds = Int32Array.of(tokenizer.endOfText, ...tokenIds);
      shared = 1;
    }
    scores.push({ text, ...scoreFrom(await textLosses(scoring, tokenIds), tokenIds, shared, tokenizer) });
  }
  const highest = (value: (score: TextScore) => number): number =>
    scores.reduce((best, score, i) => (value(score) > value(scores[best]!) ? i : best), 0);
  return {
    choices: scores,
    best: highest(({ logProbability }) => logProbability),
    bestPerByte: highest(({ logProbability, bytes }) => logProbability / Math.max(1, bytes)),
  };
}

function scoreFrom(losses: Float32Array, tokenIds: Int32Array, first: number, tokenizer: Tokenizer): TextScore {
  const scored = Array.from(tokenIds.subarray(first));
  const logProbabilities = Array.from(losses.subarray(first - 1), (loss) => -loss);
  return {
    logProbability: logProbabilities.reduce((sum, value) => sum + value, 0),
    tokens: scored.length,
    bytes: scored.reduce((sum, tokenId) => sum + tokenizer.byteLengths[tokenId]!, 0),
    tokenIds: scored,
    logProbabilities,
  };
}
