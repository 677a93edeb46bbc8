/** Log-probabilities of tokens, in the two shapes of OpenAI's answers. */
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import type { Alternative } from '../sampling/tokenTexts.ts';

/** A token of an answer. */
export interface TokenScore {
  tokenId: number;
  /** Characters of the text before it. */
  offset: number;
  /** ln p; null for the first token of a prompt. */
  logProbability: number | null;
  alternatives: readonly Alternative[];
}

/** Tokens and their scores, as far as a completion has come. */
interface Scored {
  readonly tokenIds: readonly number[];
  readonly logProbabilities?: readonly (number | null)[];
  readonly alternatives?: readonly (readonly Alternative[])[];
}

export const characterCount = (text: string): number => {
  let count = 0;
  for (const _ of text) count++;
  return count;
};

/**
 * Reads the scores of a completion while it is generated: those of the tokens that have begun within the text shown so
 * far, so that the tokens of a stop text are left out as it is.
 *
 * @param offset characters before the completion
 * @returns given the tokens so far and the characters shown so far (`offset` included), the scores not returned before
 */
export function scoresReader(
  tokenizer: Tokenizer,
  offset: number,
  options: { continuesText: boolean; specialTokens?: boolean },
): (scored: Scored, shown: number) => TokenScore[] {
  const decoder = tokenizer.decoder(options);
  const held: TokenScore[] = [];
  let read = 0;
  let at = offset;
  return ({ tokenIds, logProbabilities = [], alternatives = [] }, shown) => {
    for (; read < tokenIds.length; read++) {
      const tokenId = tokenIds[read]!;
      held.push({
        ...{ tokenId, offset: at, logProbability: logProbabilities[read] ?? null },
        alternatives: alternatives[read] ?? [],
      });
      at += characterCount(decoder.write(tokenId));
    }
    const end = held.findIndex((score) => score.offset >= shown);
    return held.splice(0, end < 0 ? held.length : end);
  };
}

/** The text of a token; one that is a part of a character is spelled by its bytes, as OpenAI does. */
function spelledToken({ spelling }: Tokenizer, tokenId: number, prefix = ''): { token: string; bytes: number[] } {
  const bytes = [...spelling(tokenId)];
  const text = Buffer.from(bytes).toString('utf8');
  const isWhole = Buffer.compare(Buffer.from(text), Buffer.from(bytes)) === 0;
  const hexadecimal = bytes.map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`);
  return { token: isWhole ? text : prefix + hexadecimal.join(''), bytes };
}

/** `logprobs` of /v1/completions. Of each position it names the likeliest tokens, and the one that was drawn. */
export function completionLogprobs(tokenizer: Tokenizer, scores: readonly TokenScore[]): object {
  const spell = (tokenId: number): string => spelledToken(tokenizer, tokenId, 'bytes:').token;
  return {
    tokens: scores.map(({ tokenId }) => spell(tokenId)),
    token_logprobs: scores.map(({ logProbability }) => finite(logProbability)),
    top_logprobs: scores.map(({ tokenId, logProbability, alternatives }) =>
      logProbability === null
        ? null
        : Object.fromEntries([
            ...alternatives.map((each) => [spell(each.tokenId), finite(each.logProbability)]),
            [spell(tokenId), finite(logProbability)],
          ]),
    ),
    text_offset: scores.map(({ offset }) => offset),
  };
}

/** `logprobs` of /v1/chat/completions. */
export const chatLogprobs = (tokenizer: Tokenizer, scores: readonly TokenScore[]): object => ({
  content: scores.map(({ tokenId, logProbability, alternatives }) => ({
    ...entry(tokenizer, tokenId, logProbability),
    top_logprobs: alternatives.map((each) => entry(tokenizer, each.tokenId, each.logProbability)),
  })),
  refusal: null,
});

function entry(tokenizer: Tokenizer, tokenId: number, logProbability: number | null): object {
  const { token, bytes } = spelledToken(tokenizer, tokenId);
  return { token, logprob: finite(logProbability), bytes };
}

/** JSON has no −∞; OpenAI writes −9999 for what is next to impossible. */
const finite = (logProbability: number | null): number | null =>
  logProbability === -Infinity ? -9999 : logProbability;
