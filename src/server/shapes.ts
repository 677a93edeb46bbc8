/** The JSON of answers and of the parts of streamed ones, for each of the two endpoints. */
import { randomUUID } from 'node:crypto';
import type { Asked } from './asked.ts';
import type { ServedModel } from './served.ts';
import { chatLogprobs, completionLogprobs, type TokenScore } from './tokenScores.ts';

export type FinishReason = 'length' | 'stop';

/** A piece of the text of a choice, and the scores of its tokens if they are asked for. */
export interface Piece {
  text: string;
  scores: readonly TokenScore[];
}

/** Numbers of tokens of prompts and completions. */
export interface Usage {
  prompt: number;
  completion: number;
}

export interface Shape {
  /** The whole answer. */
  whole(choices: readonly (Piece & { finishReason: FinishReason })[], usage: Usage): object;
  /** The part of a stream that opens a choice, if there is one. */
  opening(index: number): object | undefined;
  part(index: number, piece: Piece): object;
  closing(index: number, finishReason: FinishReason): object;
  /** The last part of a stream, if asked for. */
  usage(usage: Usage): object;
}

export function shapeOf({ kind, logprobs, includesUsage }: Asked, model: ServedModel): Shape {
  const isChat = kind === 'chat';
  const head = {
    id: `${isChat ? 'chatcmpl' : 'cmpl'}-${randomUUID().replaceAll('-', '')}`,
    object: isChat ? 'chat.completion' : 'text_completion',
    created: Math.floor(Date.now() / 1000),
    model: model.name,
    system_fingerprint: model.fingerprint,
  };
  const scored = ({ scores }: Piece): object | null =>
    logprobs === null ? null : (isChat ? chatLogprobs : completionLogprobs)(model.tokenizer, scores);
  const streamed = (choices: object[]): object => ({
    ...head,
    ...(isChat && { object: 'chat.completion.chunk' }),
    choices,
    ...(includesUsage && { usage: null }),
  });
  const delta = (index: number, delta: object, logprobs: object | null, finish_reason: FinishReason | null): object =>
    streamed([{ index, delta, logprobs, finish_reason }]);
  return {
    whole: (choices, usage) => ({
      ...head,
      choices: choices.map(({ finishReason, ...piece }, index) => ({
        index,
        ...(isChat ? { message: { role: 'assistant', content: piece.text, refusal: null } } : { text: piece.text }),
        logprobs: scored(piece),
        finish_reason: finishReason,
      })),
      usage: usageOf(usage),
    }),
    opening: (index) => (isChat ? delta(index, { role: 'assistant', content: '' }, null, null) : undefined),
    part: (index, piece) =>
      isChat
        ? delta(index, { content: piece.text }, scored(piece), null)
        : streamed([{ index, text: piece.text, logprobs: scored(piece), finish_reason: null }]),
    closing: (index, finish_reason) =>
      isChat ? delta(index, {}, null, finish_reason) : streamed([{ index, text: '', logprobs: null, finish_reason }]),
    usage: (usage) => ({ ...streamed([]), usage: usageOf(usage) }),
  };
}

const usageOf = ({ prompt, completion }: Usage): object => ({
  prompt_tokens: prompt,
  completion_tokens: completion,
  total_tokens: prompt + completion,
});
