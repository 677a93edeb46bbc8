/** A single chat as tokens with their loss mask, as a corpus of chats makes them. */
import { wrongInput } from '../../errors.ts';
import type { Tokenizer } from '../tokenizers/tokenizer.ts';
import { plainFormat } from './chatFormats.ts';
import { chatTemplate, type ChatTemplate } from './chatTemplate.ts';
import { chatText, lossByteSpans, type LossOn } from './chatText.ts';
import { today } from './corpusChats.ts';
import { lossMaskOf } from './lossMask.ts';
import { chatMessages } from './messages.ts';

/** The template of a tokenizer. @param chatDate see `Corpus` */
export const templateOf = (tokenizer: Tokenizer, chatDate: string | null | undefined): ChatTemplate =>
  chatTemplate({
    ...(tokenizer.chat ?? plainFormat(tokenizer)),
    path: 'the tokenizer',
    date: chatDate ?? today(),
  });

export interface EncodedChat {
  text: string;
  tokenIds: number[];
  /** Whether each token counts towards the loss. */
  lossMask: boolean[];
}

/**
 * @param json a list of messages, or an object with one in `messages`
 * @param options.path of the JSON, for messages
 * @param options.chatDate see `Corpus`
 * @param options.remedy if it is not certain what the assistant says
 * @throws wrongInput if the text is not JSON of messages, or the template refuses them
 */
export function encodedChat(
  json: string,
  tokenizer: Tokenizer,
  options: { path: string; chatDate: string | null; lossOn: LossOn; remedy: string },
): EncodedChat {
  const { path, chatDate, lossOn, remedy } = options;
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw wrongInput(`${path} is not JSON; it must be a list of messages, each with "role" and "content".`, { cause });
  }
  const messages = Object.hasOwn(Object(value), 'messages') ? (value as { messages: unknown }).messages : value;
  const chat = chatText(templateOf(tokenizer, chatDate), chatMessages(messages, path), lossOn, remedy);
  const { text } = chat;
  const tokenIds = tokenizer.encode(text, { isChat: true });
  const lossMask =
    lossOn === 'all'
      ? Array.from(tokenIds, () => true)
      : Array.from(
          lossMaskOf(Buffer.from(text), tokenIds, lossByteSpans(chat), tokenizer, () => `in ${path}`),
          (value) => value === 1,
        );
  return { text, tokenIds: [...tokenIds], lossMask };
}
