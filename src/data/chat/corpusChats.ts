/** How the chats of a corpus are rendered: in the format of the tokenizer, on the day the run began. */
import type { Corpus } from '../files/corpus.ts';
import type { ChatFormat } from '../tokenizers/tokenizer.ts';

/** The day in the user's own time zone, as YYYY-MM-DD. */
export function today(): string {
  const now = new Date();
  const pad = (n: number): string => String(n).padStart(2, '0');
  return `${now.getFullYear()}-${pad(now.getMonth() + 1)}-${pad(now.getDate())}`;
}

/** A corpus whose chats are rendered in this format; the same one if it has no chats. */
export const withChatFormat = (corpus: Corpus, format: ChatFormat | null): Corpus =>
  corpus.hasChats && format !== null
    ? { ...corpus, chats: { ...format, path: 'the tokenizer', date: corpus.chatDate ?? today() } }
    : corpus;
