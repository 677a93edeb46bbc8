/**
 * Log-probabilities of given texts, and which of several continuations a model finds likeliest. Loads and declares
 * nothing of TensorFlow, so that the types of the JavaScript API do not depend on it.
 */
import type { Tokenizer } from '../../data/tokenizers/tokenizer.ts';
import { wrongInput } from '../../errors.ts';
import { tokenTexts } from '../tokenTexts.ts';
import { lossesOfText, type TokenLosses } from './overlappingWindows.ts';

/** Log-probabilities of the tokens of a text, in nats. */
export interface TextScore {
  /** Σ ln p of the scored tokens, nats. */
  logProbability: number;
  /** Scored tokens: all but the first of a text; all of a choice. */
  tokens: number;
  /** UTF-8 bytes of the scored tokens. */
  bytes: number;
  tokenIds: number[];
  /** The text of each scored token. */
  texts: string[];
  /** ln p of each scored token. */
  logProbabilities: number[];
}

/** The scores of several continuations of a prompt. */
export interface ChoiceScores {
  choices: ({ text: string } & TextScore)[];
  /** Index of the choice with the highest log-probability. */
  best: number;
  /** Index of the choice with the highest log-probability per byte, which does not favour short choices. */
  bestPerByte: number;
}

export interface ScoringTools {
  tokenLosses: TokenLosses;
  tokenizer: Tokenizer;
}

/** @throws wrong input if the text has fewer than two tokens: there is nothing to predict the first one from */
export async function scoreText({ tokenLosses, tokenizer }: ScoringTools, text: string): Promise<TextScore> {
  const tokenIds = tokenizer.encode(text);
  if (tokenIds.length < 2)
    throw wrongInput(`"${text}" has fewer than two tokens; the first token cannot be scored, as nothing precedes it`);
  return scoreFrom(await lossesOfText(tokenLosses, tokenIds), tokenIds, 1, tokenizer);
}

/**
 * Scores each choice as a continuation of the prompt. Prompt and choice are encoded together; the scored tokens are
 * those after the longest beginning shared with the prompt's own tokens. A choice should begin with the space that
 * separates it from the prompt.
 *
 * @throws wrong input if a choice is empty, or the prompt is empty and the tokenizer has no end-of-text token
 */
export async function scoreChoices(
  { tokenLosses, tokenizer }: ScoringTools,
  prompt: string,
  choices: readonly string[],
): Promise<ChoiceScores> {
  const scores: ({ text: string } & TextScore)[] = [];
  const promptIds = tokenizer.encode(prompt, { isContinued: true });
  for (const text of choices) {
    if (text === '') throw wrongInput('a choice is empty: it has no token to score');
    let tokenIds = tokenizer.encode(prompt + text, { isContinued: true });
    let shared = 0;
    while (shared < promptIds.length && shared < tokenIds.length - 1 && promptIds[shared] === tokenIds[shared])
      shared++;
    if (shared === 0) {
      if (tokenizer.endOfText === null)
        throw wrongInput('the prompt is empty: a choice can only be scored as a continuation of at least one token');
      tokenIds = Int32Array.of(tokenizer.endOfText, ...tokenIds);
      shared = 1;
    }
    scores.push({ text, ...scoreFrom(await lossesOfText(tokenLosses, tokenIds), tokenIds, shared, tokenizer) });
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
    texts: tokenTexts(tokenizer, scored),
    logProbabilities,
  };
}
