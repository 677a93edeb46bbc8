/** A conversation with a model. */
import type { ChatMessage } from '../data/chat/messages.ts';
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { wrongInput } from '../errors.ts';
import { chatPrompt } from './chatPrompt.ts';
import type { Reply } from './completion.ts';
import type { Decoding } from './decoding.ts';
import { generate } from './generate.ts';
import { seedOfPrompt } from './requests.ts';
import type { CompletionSettings } from './settings.ts';

/** What a conversation is held with. */
export interface ChatModel {
  tokenizer: Tokenizer;
  decoding: Decoding;
  /** The day that chat templates are told, as YYYY-MM-DD; null: today. */
  chatDate: string | null;
}

/**
 * Answers a conversation. Yields the text of the answer as it is generated, and returns the reply.
 *
 * Where the messages do not fit into the context beside an answer, the oldest ones are left out, but never the system
 * message at the start nor the last message: a question goes with its answer.
 *
 * @param settings the seed is that of the first turn; later turns have others, made from it
 * @param signal ends the answer at the next token; what there is of it is the answer
 * @throws wrong input if the last message does not fit into the context, or cannot be rendered
 */
export async function* answer(
  model: ChatModel,
  messages: readonly ChatMessage[],
  settings: CompletionSettings,
  signal?: AbortSignal,
): AsyncGenerator<string, Reply, void> {
  const { kept, prompt } = fitted(model, messages, settings.maxTokens);
  const turn = messages.filter(({ role }) => role === 'assistant').length;
  const request = {
    prompt: prompt.text,
    promptTokenIds: prompt.tokenIds,
    settings: { ...settings, samples: 1, seed: seedOfPrompt(settings.seed, turn) },
  };
  const { decoding, tokenizer } = model;
  for await (const event of generate(decoding, tokenizer, [request], { order: 'input', signal, readsOn: true })) {
    if (event.kind === 'text') {
      yield event.text;
      continue;
    }
    const { prompt: _, completion: reply, ...rest } = event.completion;
    const spoken = [...messages, { role: 'assistant', content: reply }];
    return { reply, messages: spoken, ...rest, droppedMessages: messages.length - kept.length };
  }
  throw new Error('a chat had no answer');
}

/** The share of the context that is left for an answer at least, if the settings allow a longer one. */
const answerShare = 1 / 4;

function fitted(
  { tokenizer, chatDate, decoding: { contextLength } }: ChatModel,
  messages: readonly ChatMessage[],
  maxTokens: number,
): { kept: readonly ChatMessage[]; prompt: { text: string; tokenIds: number[] } } {
  const room = contextLength - Math.min(maxTokens, Math.floor(contextLength * answerShare));
  const first = messages[0]?.role === 'system' ? 1 : 0;
  let dropped = 0;
  for (;;) {
    const kept = [...messages.slice(0, first), ...messages.slice(first + dropped)];
    const prompt = chatPrompt(tokenizer, chatDate, kept);
    if (prompt.tokenIds.length <= room) return { kept, prompt };
    // Up to the next question, so that a question goes with its answer.
    const next = messages.findIndex(({ role }, i) => i > first + dropped && role === 'user');
    if (next < 0) {
      if (prompt.tokenIds.length < contextLength) return { kept, prompt };
      throw wrongInput(
        `the message has ${prompt.tokenIds.length} tokens with what the chat template adds, but the context of the ` +
          `model has ${contextLength}, and an answer needs some of them; shorten it`,
      );
    }
    dropped = next - first;
  }
}
