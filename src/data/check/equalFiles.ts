/** Files of a corpus that have the same content under different names. Only files of equal size are read. */
import { createHash } from 'node:crypto';
import { openContent } from '../files/content.ts';
import type { Corpus, CorpusFile } from '../files/corpus.ts';

/** Field names are those of the command's JSON. */
export interface EqualFiles {
  /** Files that equal an earlier one. */
  count: number;
  /** How many of them are validation files while their equal is a training file. */
  inBothParts: number;
  /** The first of them, those in both parts before the others. */
  examples: { path: string; equals: string; isInBothParts: boolean }[];
}

const mostExamples = 5;
const bufferBytes = 2 ** 18;

export async function findEqualFiles(corpus: Corpus): Promise<EqualFiles> {
  const bySize = new Map<number, CorpusFile[]>();
  for (const file of corpus.files) {
    const ofSize = bySize.get(file.bytes);
    if (ofSize === undefined) bySize.set(file.bytes, [file]);
    else ofSize.push(file);
  }
  const examples: EqualFiles['examples'] = [];
  const byContent = new Map<string, CorpusFile>();
  for (const ofSize of bySize.values()) {
    if (ofSize.length === 1) continue;
    for (const file of ofSize) {
      const hash = await contentHash(file);
      const first = byContent.get(hash);
      if (first === undefined) byContent.set(hash, file);
      else {
        const isInBothParts = isValidationFile(corpus, file) !== isValidationFile(corpus, first);
        examples.push({ path: file.path, equals: first.path, isInBothParts });
      }
    }
  }
  examples.sort((a, b) => Number(b.isInBothParts) - Number(a.isInBothParts));
  return {
    count: examples.length,
    inBothParts: examples.filter(({ isInBothParts }) => isInBothParts).length,
    examples: examples.slice(0, mostExamples),
  };
}

/** Whether the whole file is validation text. With a split by hash, equal documents are in the same part anyway. */
function isValidationFile({ validation }: Corpus, { startByte, bytes }: CorpusFile): boolean {
  return (validation.parts ?? [validation]).some(
    (part) => part.documents === undefined && startByte >= part.startByte && startByte + bytes <= part.endByte,
  );
}

async function contentHash(file: CorpusFile): Promise<string> {
  const hash = createHash('sha256');
  const buffer = Buffer.alloc(bufferBytes);
  const content = await openContent(file);
  try {
    for (let at = file.format === 'parquet' ? 0 : file.markBytes; ; ) {
      const read = await content.read(buffer, 0, buffer.length, at);
      if (read === 0) break;
      hash.update(buffer.subarray(0, read));
      at += read;
    }
  } finally {
    await content.close();
  }
  return hash.digest('hex');
}
