/**
 * What is in a corpus more than once: equal documents, equal files, and lines that occur again, in the training part
 * and across the split. Linear in the size of the corpus.
 */
import type { Corpus } from '../files/corpus.ts';
import { findEqualFiles, type EqualFiles } from './equalFiles.ts';
import { openHashTable } from './hashTable.ts';
import type { LineSink } from './lines.ts';
import { openPassages, type Passage } from './passages.ts';
import { placesOf, type Place } from './places.ts';

/** Field names are those of the command's JSON. */
export interface Repetition {
  /** Documents with the same text as an earlier document; of running text, files that equal an earlier one. */
  duplicates: number;
  /** The first of them, with the place of the earlier one. */
  duplicateExamples: { at: Place; of: Place }[];
  equalFiles: EqualFiles;
  /** Lines of 40 bytes or more of the training part that repeat an earlier one. */
  repeated: RepeatedLines & { passages: (PassageSize & { at: Place; of: Place })[] };
  /** What of the validation part is also in the training part: documents, and different lines of 40 bytes or more. */
  overlap: RepeatedLines & { documents: number; passages: (PassageSize & { validation: Place; training: Place })[] };
}

interface RepeatedLines {
  lines: number;
  ofLines: number;
  /** `lines` of `ofLines`; 0 without lines. */
  share: number;
  /** 1: all lines were compared. n: every n-th, chosen by its hash, because of their number; figures are estimates. */
  everyLine: number;
}

/** Lines that follow each other in both places, and how often such a passage occurs. */
type PassageSize = Pick<Passage, 'lines' | 'bytes' | 'times'>;

/** Takes the text of a part. Hashes have two times 32 bits; positions are in the corpus. */
export interface TextSink {
  document(high: number, low: number, position: number): void;
  line: LineSink;
}

const mostExamples = 5;

/**
 * Give it the validation part first. Memory: four tables of hashes, at most 120 MB, whatever the size of the corpus.
 * @param most hashes in a table; with more than that, lines and documents are sampled
 */
export function openRepetition(most?: number): {
  of(side: 'training' | 'validation'): TextSink;
  found(corpus: Corpus): Promise<Repetition>;
} {
  const [documents, validationDocuments] = [openHashTable(most), openHashTable(most)];
  const [trainingLines, validationLines] = [openHashTable(most), openHashTable(most)];
  const [shared, repeated] = [openPassages(mostExamples), openPassages(mostExamples)];
  const copies: { at: number; of: number }[] = [];

  const addDocument = (high: number, low: number, position: number): void => {
    if (!documents.isSampled(low)) return;
    const of = documents.add(high, low, position);
    if (of >= 0 && copies.length < mostExamples) copies.push({ at: position, of });
  };
  const validation: TextSink = {
    document: (high, low, position) => {
      addDocument(high, low, position);
      if (validationDocuments.isSampled(low)) validationDocuments.add(high, low, position);
    },
    line: (high, low, _, position) => {
      if (validationLines.isSampled(low)) validationLines.add(high, low, position);
    },
  };
  const training: TextSink = {
    document: (high, low, position) => {
      addDocument(high, low, position);
      validationDocuments.mark(high, low);
    },
    line: (high, low, bytes, position) => {
      if (validationLines.isSampled(low)) shared.line(position, validationLines.mark(high, low), bytes);
      if (trainingLines.isSampled(low)) repeated.line(position, trainingLines.add(high, low, position), bytes);
    },
  };
  return {
    of: (side) => ({ training, validation })[side],
    found: async (corpus) => {
      const equalFiles = await findEqualFiles(corpus);
      const [sharedPassages, repeatedPassages] = [shared.longest(), repeated.longest()];
      const pairs = [...sharedPassages, ...repeatedPassages, ...copies];
      const places = await placesOf(
        corpus,
        pairs.flatMap(({ at, of }) => [at, of]),
      );
      const placesOfPair = new Map(pairs.map((pair, i) => [pair, { at: places[2 * i]!, of: places[2 * i + 1]! }]));
      const { distinct, occurrences } = documents.totals();
      const inTraining = trainingLines.totals();
      const inValidation = validationLines.totals();
      return {
        duplicates: corpus.separatesDocuments === true ? occurrences - distinct : equalFiles.count,
        duplicateExamples: copies.map((copy) => placesOfPair.get(copy)!),
        equalFiles,
        repeated: {
          ...shareOf(inTraining.occurrences - inTraining.distinct, inTraining.occurrences, inTraining.every),
          passages: repeatedPassages.map((passage) => ({ ...sizeOf(passage), ...placesOfPair.get(passage)! })),
        },
        overlap: {
          documents: validationDocuments.totals().marked,
          ...shareOf(inValidation.marked, inValidation.distinct, inValidation.every),
          passages: sharedPassages.map((passage) => {
            const { at, of } = placesOfPair.get(passage)!;
            return { ...sizeOf(passage), validation: of, training: at };
          }),
        },
      };
    },
  };
}

const sizeOf = ({ lines, bytes, times }: Passage): PassageSize => ({ lines, bytes, times });

const shareOf = (lines: number, ofLines: number, everyLine: number): RepeatedLines => ({
  ...{ lines, ofLines, everyLine },
  share: ofLines === 0 ? 0 : lines / ofLines,
});
