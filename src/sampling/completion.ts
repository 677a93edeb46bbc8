/**
 * One completion as it grows: from logits to the next token, its text, and whether it ends. Knows no tensors.
 */
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { randomStream } from '../random.ts';
import { alternatives, logProbability, sampleToken, type Alternative } from './sampler.ts';
import type { CompletionSettings } from './settings.ts';
import { watchForStops } from './stopTexts.ts';

type FinishReason = 'length' | 'stop' | 'endOfText';

export interface Completion {
  prompt: string;
  /** The text that follows the prompt, without a stop text. */
  completion: string;
  promptTokenIds: number[];
  /** Every token drawn, the one that ended the completion included. */
  tokenIds: number[];
  tokens: number;
  finishReason: FinishReason;
  seed: number;
  /** ln p of each token by the model, where asked for. */
  logProbabilities?: number[];
  /** The likeliest tokens in the place of each, where asked for. */
  alternatives?: Alternative[][];
  tokensPerSecond: number;
  firstTokenMs: number;
}

export interface Growing {
  readonly promptTokenIds: readonly number[];
  readonly tokenIds: readonly number[];
  readonly settings: CompletionSettings;
  readonly finishReason: FinishReason | null;
  /**
   * Draws the next token from its logits (V, or more where the vocabulary is padded). @returns the text that is certain
   * now
   */
  take(logits: Float32Array): string;
  /** Ends it where no token follows any more: the context is full. @returns the text that was held back */
  endHere(): string;
  result(beganMs: number, prefillBeganMs: number): Completion;
}

/** @param settings `seed` is that of this very completion */
export function growCompletion(
  prompt: string,
  promptTokenIds: readonly number[],
  settings: CompletionSettings,
  tokenizer: Tokenizer,
): Growing {
  const { minTokens, maxTokens, seed } = settings;
  const sampler = {
    ...settings,
    logitBias: new Map(Object.entries(settings.logitBias).map(([id, bias]) => [Number(id), bias])),
  };
  const ending = new Set([...settings.stopTokenIds, ...(tokenizer.endOfText === null ? [] : [tokenizer.endOfText])]);
  const seen = new Set(promptTokenIds);
  const decoder = tokenizer.decoder({ continuesText: true });
  const watcher = watchForStops(settings.stop);
  const tokenIds: number[] = [];
  const logProbabilities: number[] = [];
  const likeliest: Alternative[][] = [];
  let completion = '';
  let finishReason: FinishReason | null = null;
  let firstTokenAtMs = 0;

  const show = (text: string): string => {
    completion += text;
    return text;
  };
  const finish = (reason: FinishReason, rest: string): string => {
    finishReason = reason;
    return show(rest);
  };
  const takePiece = (piece: string): string => {
    if (tokenIds.length < minTokens) return show(piece); // stop texts are not looked for yet
    const { text, stopped } = watcher.push(piece);
    if (stopped) finishReason = 'stop';
    return show(text);
  };
  const rest = (): string => watcher.end() + decoder.end();

  return {
    promptTokenIds,
    tokenIds,
    settings,
    get finishReason() {
      return finishReason;
    },
    take: (logits) => {
      const uniform = randomStream(seed, 'completion', tokenIds.length).uniform();
      const forbidden = tokenIds.length < minTokens ? ending : [];
      const tokenId = sampleToken(logits.subarray(0, tokenizer.vocabularySize), sampler, uniform, { seen, forbidden });
      if (tokenIds.length === 0) firstTokenAtMs = performance.now();
      tokenIds.push(tokenId);
      seen.add(tokenId);
      if (settings.logProbabilities !== null) {
        logProbabilities.push(logProbability(logits, tokenId));
        likeliest.push(alternatives(logits, settings.logProbabilities, tokenizer.vocabularySize));
      }
      if (tokenId === tokenizer.endOfText) return finish('endOfText', rest());
      if (ending.has(tokenId)) return finish('stop', rest());
      const text = takePiece(decoder.write(tokenId));
      if (finishReason === null && tokenIds.length === maxTokens) return text + finish('length', rest());
      return text;
    },
    endHere: () => finish('length', rest()),
    result: (beganMs, prefillBeganMs) => ({
      prompt,
      completion,
      promptTokenIds: [...promptTokenIds],
      tokenIds,
      tokens: tokenIds.length,
      finishReason: finishReason ?? 'length',
      seed,
      ...(settings.logProbabilities === null ? {} : { logProbabilities }),
      ...((settings.logProbabilities ?? 0) > 0 ? { alternatives: likeliest } : {}),
      tokensPerSecond: (tokenIds.length / (performance.now() - prefillBeganMs)) * 1000,
      firstTokenMs: firstTokenAtMs - beganMs,
    }),
  };
}
