/**
 * A completion in progress: draws the next token from the logits, decodes its text and decides whether to end. Pure
 * JavaScript, without TensorFlow.
 */
import { wrongInput } from '../errors.ts';
import type { ChatMessage } from '../data/chat/messages.ts';
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { randomStream } from '../random.ts';
import { logProbability, sampleToken } from './sampler.ts';
import type { CompletionSettings } from './settings.ts';
import { watchForStops } from './stopTexts.ts';
import { likeliestTokens, tokenTexts, type Alternative } from './tokenTexts.ts';

type FinishReason = 'length' | 'stop' | 'endOfText';

/** A completion that has ended, and how it came about. */
export interface Completion {
  /** As given. */
  prompt: string;
  /** The text after the prompt, without the stop text. */
  completion: string;
  promptTokenIds: number[];
  /** All sampled tokens, including the one that ended the completion. */
  tokenIds: number[];
  /** Number of sampled tokens. */
  tokens: number;
  /** `length`: maxTokens or the context is used up; `stop`: a stop text or token; `endOfText`: the model ended it. */
  finishReason: FinishReason;
  seed: number;
  /** The text of each token, if log-probabilities are requested. */
  texts?: string[];
  /** ln p of each token, if requested. */
  logProbabilities?: number[];
  /** The likeliest tokens at each position, if requested. */
  alternatives?: Alternative[][];
  /** From the start of reading the prompt to the end. */
  tokensPerSecond: number;
  /** Milliseconds from the request to the first token. */
  firstTokenMs: number;
}

/** An answer, and how it came about. */
export interface Reply extends Omit<Completion, 'prompt' | 'completion'> {
  /** What the assistant says, exactly, without the token that ends its turn. */
  reply: string;
  /** The whole conversation, the answer included. */
  messages: ChatMessage[];
  /** Older messages that the context had no room for. */
  droppedMessages: number;
}

export interface CompletionInProgress {
  readonly promptTokenIds: readonly number[];
  readonly tokenIds: readonly number[];
  readonly settings: CompletionSettings;
  readonly finishReason: FinishReason | null;
  /** As in `Completion`, of the tokens so far; empty unless requested. */
  readonly logProbabilities: readonly number[];
  readonly alternatives: readonly (readonly Alternative[])[];
  /**
   * Samples the next token.
   *
   * @param logits (V, or more with a padded vocabulary)
   * @returns the text that can be shown now
   */
  sampleNext(logits: Float32Array): string;
  /** Ends the completion without a further token. @returns the text that was held back */
  endHere(): string;
  result(beganMs: number, prefillBeganMs: number): Completion;
}

/** @param settings `seed` is the one of this completion, not of its prompt */
export function startCompletion(
  prompt: string,
  promptTokenIds: readonly number[],
  settings: CompletionSettings,
  tokenizer: Tokenizer,
): CompletionInProgress {
  const { minTokens, maxTokens, seed } = settings;
  const sampler = {
    ...settings,
    logitBias: new Map(Object.entries(settings.logitBias).map(([id, bias]) => [Number(id), bias])),
  };
  const ends = new Set([...(tokenizer.endOfText === null ? [] : [tokenizer.endOfText]), ...tokenizer.otherEnds]);
  const endTokens = new Set([...settings.stopTokenIds, ...ends]);
  const neverDrawn = tokenizer.unusedIds;
  const notYet = [...endTokens, ...neverDrawn];
  const seen = new Set(promptTokenIds);
  const drawn = new Map<number, number>();
  const decoder = tokenizer.decoder({ continuesText: prompt !== '' });
  const watcher = watchForStops(settings.stop);
  const tokenIds: number[] = [];
  const logProbabilities: number[] = [];
  const alternativesOfTokens: Alternative[][] = [];
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
    if (tokenIds.length < minTokens) return show(piece); // stop texts count only from then on
    const { text, stopped } = watcher.push(piece);
    if (stopped) finishReason = 'stop';
    return show(text);
  };
  const heldBack = (): string => watcher.end() + decoder.end();

  return {
    promptTokenIds,
    tokenIds,
    settings,
    logProbabilities,
    alternatives: alternativesOfTokens,
    get finishReason() {
      return finishReason;
    },
    sampleNext: (logits) => {
      const uniform = randomStream(seed, 'completion', tokenIds.length).uniform();
      const forbidden = tokenIds.length < minTokens ? notYet : neverDrawn;
      const tokenId = sampleToken(logits.subarray(0, tokenizer.vocabularySize), sampler, uniform, {
        ...{ seen, drawn, forbidden },
      });
      if (Number.isNaN(logits[tokenId]))
        throw wrongInput(
          'The model computes NaN: its weights are damaged. Use another checkpoint, or import it again.',
        );
      if (tokenIds.length === 0) firstTokenAtMs = performance.now();
      tokenIds.push(tokenId);
      seen.add(tokenId);
      drawn.set(tokenId, (drawn.get(tokenId) ?? 0) + 1);
      if (settings.logProbabilities !== null) {
        logProbabilities.push(logProbability(logits, tokenId));
        alternativesOfTokens.push(likeliestTokens(logits, settings.logProbabilities, tokenizer));
      }
      if (ends.has(tokenId)) return finish('endOfText', heldBack());
      if (endTokens.has(tokenId)) return finish('stop', heldBack());
      const text = takePiece(decoder.write(tokenId));
      if (finishReason === null && tokenIds.length === maxTokens) return text + finish('length', heldBack());
      return text;
    },
    endHere: () => finish('length', heldBack()),
    result: (beganMs, prefillBeganMs) => ({
      prompt,
      completion,
      promptTokenIds: [...promptTokenIds],
      tokenIds,
      tokens: tokenIds.length,
      finishReason: finishReason ?? 'length',
      seed,
      ...(settings.logProbabilities === null ? {} : { texts: tokenTexts(tokenizer, tokenIds), logProbabilities }),
      ...((settings.logProbabilities ?? 0) > 0 ? { alternatives: alternativesOfTokens } : {}),
      tokensPerSecond: (tokenIds.length / (performance.now() - prefillBeganMs)) * 1000,
      firstTokenMs: firstTokenAtMs - beganMs,
    }),
  };
}
