/** Trains a byte-level BPE: counts the words of documents, finds the merges, and makes the tokenizer. */
import { endOfTextToken } from '../../tokenizer.ts';
import type { DocumentPart, Tokenizer } from '../../tokenizer.ts';
import { characterOfByte, spelling } from '../byteAlphabet.ts';
import { wordsBy } from '../files/byteLevelFile.ts';
import { gpt2File } from '../files/gpt2File.ts';
import { tokenizerFromHuggingFace } from '../files/huggingFaceFile.ts';
import { gpt2Pattern } from '../patterns.ts';
import { segmentEnd, wordBorder } from '../segments.ts';
import { trainMerges } from './trainMerges.ts';
import type { TrainedMerges } from './trainMerges.ts';
import { wordCounter } from './wordCounts.ts';

interface BpeTraining {
  /** Counts a document that comes in chunks. @returns the bytes counted, as `Tokenizer.encodeChunk` */
  addChunk(utf8: Uint8Array, part: Pick<DocumentPart, 'endsText'>): number;
  /** Number of distinct words that were dropped to bound the memory. */
  readonly droppedWords: number;
  /**
   * @param vocabularySize tokens wanted, including the bytes and end-of-text; a text with too few pairs yields fewer
   */
  train(vocabularySize: number): Tokenizer;
}

export function bpeTraining(): BpeTraining {
  const counter = wordCounter();
  const words = wordsBy([gpt2Pattern.scanner()]);
  const isBorder = wordBorder();
  return {
    addChunk: (utf8, { endsText }) => {
      let start = 0;
      while (start < utf8.length) {
        const end = segmentEnd(utf8, start, endsText, isBorder);
        if (end < 0) break;
        words(utf8, start, end, (from, to) => counter.add(utf8, from, to));
        start = end;
      }
      return start;
    },
    get droppedWords() {
      return counter.words().dropped;
    },
    train: (vocabularySize) => {
      const ofCharacter = [...characterOfByte].sort();
      const idOfByte = Int32Array.from(characterOfByte, (character) => 1 + ofCharacter.indexOf(character));
      const tokens: Uint8Array[] = [new Uint8Array(0)];
      for (const [byte, id] of idOfByte.entries()) tokens[id] = Uint8Array.of(byte);
      const trained = trainMerges(counter.words(), { idOfByte, tokens, vocabularySize });
      return tokenizerFromHuggingFace(fileOf(trained), 'the trained tokenizer');
    },
  };
}

/** tokenizer.json of the merges, with GPT-2's pattern and end-of-text as id 0. */
function fileOf({ tokens, merges }: TrainedMerges): object {
  const spellings = tokens.map((bytes, id) => (id === 0 ? endOfTextToken : spelling(bytes)));
  return gpt2File({
    vocabulary: Object.fromEntries(spellings.map((text, id) => [text, id])), // defines "__proto__" like any other
    merges: merges.map(({ left, right }) => [spellings[left]!, spellings[right]!]),
    endOfTextId: 0,
  });
}
