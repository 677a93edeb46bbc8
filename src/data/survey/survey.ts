/** What a text is like: how much there is, in how many documents and different characters; what is wrong with it. */
import { openCorpus } from '../files/openCorpus.ts';
import type { Corpus, CorpusFile, SourceSettings } from '../files/corpus.ts';
import { textChunks } from '../files/textChunks.ts';
import { noCounts, utf8Chunks } from '../files/utf8Chunks.ts';
import { withoutSpecialTokens } from '../tokens/prepareTokenizer.ts';
import { characterCensus } from '../tokenizers/characters.ts';

export interface TextSurvey {
  /** Of UTF-8; the part that was read, if not `isWhole`. */
  bytes: number;
  characters: number;
  distinctCharacters: number;
  /** 1 for a running text. */
  documents: number;
  /** Bytes that are not UTF-8. */
  badBytes: number;
  /** Records with null in the field, or without it. */
  rowsWithoutText: number;
  /** Whether all of the text was read. */
  isWhole: boolean;
  /** Its beginning. */
  excerpt: Buffer;
}

/** Bytes that are read of a longer text. */
const mostBytes = 128e6;
const excerptBytes = 1 << 20;

/** The corpus of one source, opened to be looked at. */
export async function openSource(source: SourceSettings, isTable: boolean): Promise<Corpus> {
  const corpus = await openCorpus({
    sources: [{ ...source, emptyRows: 'skip' }],
    validation: isTable || source.documents === 'file' ? { hash: 0.5 } : { tail: 0.5 },
    shuffleTokens: 1024,
    encodingErrors: 'replace',
  });
  return withoutSpecialTokens({}, corpus);
}

/** One pass over the text. @throws wrongInput if it cannot be read */
export async function surveyText(corpus: Corpus): Promise<TextSurvey> {
  const counts = noCounts();
  const census = characterCensus();
  const excerpt: Buffer[] = [];
  let [bytes, characters, documents, excerpted, isWhole] = [0, 0, 0, 0, true];
  for await (const chunk of textChunks(corpus, { startByte: 0, endByte: corpus.bytes }, { counts })) {
    const texts = chunk.completion === null ? [chunk.bytes] : [chunk.bytes, chunk.completion];
    for (const text of texts) {
      bytes += text.length;
      characters += census.count(text);
      if (excerpted < excerptBytes) {
        excerpt.push(Buffer.from(text));
        excerpted += text.length;
      }
    }
    if (chunk.endsDocument) documents++;
    if (bytes > mostBytes) {
      isWhole = false;
      break;
    }
  }
  const { badBytes, rowsWithoutText } = counts;
  const distinctCharacters = [...census.characters()].length;
  return {
    bytes,
    characters,
    distinctCharacters,
    documents,
    badBytes,
    rowsWithoutText,
    isWhole,
    excerpt: Buffer.concat(excerpt),
  };
}

/** U+FFFD, which takes the place of bad bytes. */
const replacementBytes = 3;

/** The first file with a byte that is not UTF-8, and where that byte is. */
export async function firstBadByte(
  files: readonly CorpusFile[],
): Promise<{ file: CorpusFile; byte: number } | undefined> {
  for (const file of files) {
    if (file.format === 'parquet') continue;
    const counts = noCounts();
    const all = { startByte: file.startByte, endByte: file.startByte + file.bytes };
    const corpus = { files: [file], encodingErrors: 'replace' as const };
    for await (const { startByte, sourceOffsets } of utf8Chunks(corpus, all, { counts })) {
      if (counts.badBytes === 0) continue;
      const goodBytes = sourceOffsets[1]!.index - replacementBytes;
      return { file, byte: file.markBytes + startByte - file.startByte + goodBytes };
    }
  }
  return undefined;
}
