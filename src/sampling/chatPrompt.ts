/** A chat as a prompt: rendered by the chat template, as in training. */
import { templateOf } from '../data/chat/encodedChat.ts';
import type { ChatMessage } from '../data/chat/messages.ts';
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { ExpectedError, wrongInput } from '../errors.ts';

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
  return { text, tokenIds: [...encoded(tokenizer, text)] };
}

function encoded(tokenizer: Tokenizer, text: string): Int32Array {
  try {
    return tokenizer.encode(text, { isChat: true });
  } catch (error) {
    if (tokenizer.chat !== null || !(error instanceof ExpectedError)) throw error;
    const message = `The model was not trained on chats, and cannot read the plain format of them: ${error.message}`;
    throw wrongInput(message, { cause: error });
  }
}
