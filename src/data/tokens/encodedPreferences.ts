/** Stage: token ids. The two conversations of each preference pair, with what counts of them. */
import type { CorpusPart, ReadableCorpus } from '../files/corpus.ts';
import { textChunks } from '../files/textChunks.ts';
import type { ReadOptions } from '../files/utf8Chunks.ts';
import type { Tokenizer } from '../tokenizers/tokenizer.ts';

/** An `EncodedText` that is one of the two conversations of a pair. */
interface EncodedConversation {
  readonly startByte: number;
  readonly tokenIds: Int32Array;
  readonly lossMask: Uint8Array;
  readonly startsDocument: true;
  readonly endsDocument: true;
}

/**
 * Two texts of each pair: the prompt with the chosen completion, then the prompt with the rejected one. As in TRL, the
 * whole is tokenized, and the completion begins where the tokens of the prompt alone and of the whole part. Completions
 * of plain text end with end of text, if the tokenizer has one.
 * @throws wrongInput as `encodedText`
 */
export async function* encodedPreferences(
  corpus: ReadableCorpus,
  part: CorpusPart,
  tokenizer: Tokenizer,
  options: ReadOptions,
): AsyncGenerator<EncodedConversation, void, void> {
  const remedy = 'The corpus has another vocabulary than the model in start.from.';
  for await (const { startByte, bytes, preference, location } of textChunks(corpus, part, options)) {
    const { prompt, rejected, isChat } = preference!;
    const encode = (text: Uint8Array): Int32Array =>
      tokenizer.encodeChunk(text, { startsText: true, endsText: true, isChat }, { location, remedy }).tokenIds;
    const promptIds = encode(prompt);
    const [chosenIds, rejectedIds] = [encode(bytes), encode(rejected)];
    const promptTokens = Math.min(sharedTokens(promptIds, chosenIds), sharedTokens(promptIds, rejectedIds));
    if (promptTokens < promptIds.length && options.counts)
      options.counts.cutPrompts = (options.counts.cutPrompts ?? 0) + 1;
    const conversations = [chosenIds, rejectedIds].map((ids) => (isChat ? ids : ended(ids, tokenizer.endOfText)));
    if (conversations.some(({ length }) => length === 0)) {
      if (options.counts) options.counts.emptyDocuments++;
      continue;
    }
    for (const tokenIds of conversations) {
      const lossMask = new Uint8Array(tokenIds.length).fill(1, promptTokens);
      yield { startByte, tokenIds, lossMask, startsDocument: true, endsDocument: true };
    }
  }
}

/** How many tokens both begin with. */
function sharedTokens(a: Int32Array, b: Int32Array): number {
  const first = a.findIndex((id, i) => id !== b[i]);
  return first === -1 ? a.length : first;
}

function ended(ids: Int32Array, endOfText: number | null): Int32Array {
  if (endOfText === null || ids.at(-1) === endOfText) return ids;
  const tokenIds = new Int32Array(ids.length + 1);
  tokenIds.set(ids);
  tokenIds[ids.length] = endOfText;
  return tokenIds;
}
