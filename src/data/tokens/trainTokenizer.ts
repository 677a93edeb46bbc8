/** Trains a byte-pair encoding on a part of the corpus, in one pass and bounded memory. */
import type { CorpusPart, ReadableCorpus } from '../files/corpus.ts';
import { textChunks } from '../files/textChunks.ts';
import { noCounts } from '../files/utf8Chunks.ts';
import type { ReadCounts } from '../files/utf8Chunks.ts';
import { bpeTraining } from '../tokenizers/bpe/training/trainBpe.ts';
import type { Tokenizer } from '../tokenizers/tokenizer.ts';

interface TrainedTokenizer {
  /** May have fewer tokens than wanted if the text is short. */
  readonly tokenizer: Tokenizer;
  /** Bytes of text. */
  readonly bytes: number;
  /** Number of distinct words, all rare, that were dropped to bound the memory. */
  readonly droppedWords: number;
  /** What was repaired or left out of the text. */
  readonly leftOut: ReadCounts;
}

/** @throws wrongInput for bad UTF-8 or an unreadable file */
export async function trainTokenizer(
  corpus: ReadableCorpus,
  part: CorpusPart,
  vocabularySize: number,
): Promise<TrainedTokenizer> {
  const training = bpeTraining();
  const leftOut = noCounts();
  let textBytes = 0;
  let rest: Uint8Array = new Uint8Array(0);
  for await (const { bytes, completion, endsDocument } of textChunks(corpus, part, { counts: leftOut })) {
    textBytes += bytes.length + (completion?.length ?? 0);
    const utf8 = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
    rest = Uint8Array.from(utf8.subarray(training.addChunk(utf8, { endsText: endsDocument })));
    if (completion !== null) training.addChunk(completion, { endsText: true });
  }
  training.addChunk(rest, { endsText: true });
  const tokenizer = training.train(vocabularySize);
  return { tokenizer, bytes: textBytes, droppedWords: training.droppedWords, leftOut };
}
