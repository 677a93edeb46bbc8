/** A chat as a prompt: rendered by the chat template, as in training. */
import { plainFormat } from '../data/chat/chatFormats.ts';
import { chatTemplate } from '../data/chat/chatTemplate.ts';
import { today } from '../data/chat/corpusChats.ts';
import type { ChatMessage } from '../data/chat/messages.ts';
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';

/**
 * The prompt that asks for the assistant's answer: the messages by the chat template, as in training.
 *
 * @throws wrong input if the template refuses the messages, or the tokenizer their text
 */
export function chatPrompt(
  tokenizer: Tokenizer,
  chatDate: string | null | undefined,
  messages: readonly ChatMessage[],
): { text: string; tokenIds: number[] } {
  const format = tokenizer.chat ?? plainFormat(tokenizer);
  const template = chatTemplate({ ...format, path: 'the tokenizer', date: chatDate ?? today() });
  const { text } = template.render(messages, true);
  return { text, tokenIds: [...tokenizer.encode(text, { isChat: true })] };
}
