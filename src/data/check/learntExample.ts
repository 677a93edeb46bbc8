/** One chat or pair of a corpus as text, with what the model learns of it, for `clm data check`. */
import type { Corpus } from '../files/corpus.ts';
import { textChunks } from '../files/textChunks.ts';
import { encodedText } from '../tokens/encodedText.ts';
import type { Tokenizer } from '../tokenizers/tokenizer.ts';
import { placesOf, type Place } from './places.ts';

/** A part of a text whose tokens all count towards the loss, or none of them. */
export interface TextPart {
  text: string;
  learnt: boolean;
}

export interface LearntExample {
  place: Place;
  tokens: number;
  learntTokens: number;
  /** The text, special tokens included. */
  parts: TextPart[];
}

/**
 * The first chat or pair of the training part of which something is learnt; of a preference pair, both conversations.
 * Nothing if there is none.
 */
export async function learntExamples(corpus: Corpus, tokenizer: Tokenizer): Promise<LearntExample[]> {
  const examples: LearntExample[] = [];
  if (corpus.hasLossMask !== true) return examples;
  for (const part of corpus.training.parts ?? [corpus.training]) {
    for await (const { completion, lossSpans, preference, startByte } of textChunks(corpus, part)) {
      if ((completion ?? lossSpans ?? preference?.rejected ?? []).length === 0) continue;
      const [place] = await placesOf(corpus, [startByte]);
      for await (const { tokenIds, lossMask } of encodedText(corpus, { ...part, startByte }, tokenizer)) {
        const parts = textParts(tokenizer, [...tokenIds], Array.from(lossMask ?? [], Boolean));
        const learntTokens = lossMask?.reduce((sum, counts) => sum + counts, 0) ?? 0;
        examples.push({ place: place!, tokens: tokenIds.length, learntTokens, parts });
        if (examples.length === (preference ? 2 : 1)) return examples;
      }
    }
  }
  return examples;
}

function textParts(tokenizer: Tokenizer, tokenIds: readonly number[], lossMask: readonly boolean[]): TextPart[] {
  const parts: TextPart[] = [];
  for (let start = 0; start < tokenIds.length; ) {
    const learnt = lossMask[start]!;
    const next = lossMask.indexOf(!learnt, start);
    const end = next === -1 ? tokenIds.length : next;
    const settings = { specialTokens: true, continuesText: start > 0 };
    parts.push({ text: tokenizer.decode(tokenIds.slice(start, end), settings), learnt });
    start = end;
  }
  return parts;
}
