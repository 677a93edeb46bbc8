/** A chat as a prompt: rendered by the chat template, as in training. */
import { templateOf } from '../data/chat/encodedChat.ts';
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
  const { text } = templateOf(tokenizer, chatDate).render(messages, true);
  return { text, tokenIds: [...tokenizer.encode(text, { isChat: true })] };
}
