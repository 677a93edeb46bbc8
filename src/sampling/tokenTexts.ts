/** Tokens with their texts, for people and programs that have no tokenizer. */
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { alternatives } from './sampler.ts';

/** A token with its text and ln p. */
export interface Alternative {
  tokenId: number;
  text: string;
  logProbability: number;
}

type Decoder = Pick<Tokenizer, 'decode'>;

/** The text of one token, special tokens spelled out; for a token that is only a part of a character, U+FFFD. */
export const tokenText = (tokenizer: Decoder, tokenId: number): string =>
  tokenizer.decode([tokenId], { specialTokens: true, continuesText: true });

export const tokenTexts = (tokenizer: Decoder, tokenIds: readonly number[]): string[] =>
  tokenIds.map((tokenId) => tokenText(tokenizer, tokenId));

/** The n likeliest tokens, as `alternatives` finds them. */
export const likeliestTokens = (
  logits: Float32Array,
  n: number,
  tokenizer: Pick<Tokenizer, 'decode' | 'vocabularySize' | 'unusedIds'>,
): Alternative[] =>
  alternatives(logits, n, tokenizer).map(({ tokenId, logProbability }) => ({
    tokenId,
    text: tokenText(tokenizer, tokenId),
    logProbability,
  }));
