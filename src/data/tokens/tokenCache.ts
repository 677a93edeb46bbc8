/**
 * The token cache: the tokens of a corpus in files, so that a text is tokenized once and not in every epoch and run. A
 * cache's name is a hash of everything its tokens depend on: the files of the corpus, how they are read and split, and
 * the tokenizer. So a changed corpus never hits the cache, and any number of runs may share one folder.
 */
import { createHash } from 'node:crypto';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { entriesOf, leftoverOf, replaceFileDurably } from '../../storage/durable.ts';
import type { Corpus, CorpusPart } from '../files/corpus.ts';
import { textChunks } from '../files/textChunks.ts';
import { addCounts, noCounts } from '../files/utf8Chunks.ts';
import type { ReadCounts } from '../files/utf8Chunks.ts';
import { encodedText } from './encodedText.ts';
import type { EncodeOptions } from './encodedText.ts';
import { corpusManifest, wholeBytes } from '../manifest.ts';
import { tokenFileVersion, tokensOfFile, writeTokenFile } from './tokenCacheFile.ts';
import { renderTokenizer } from '../tokenizers/tokenizerFile.ts';
import type { Tokenizer } from '../tokenizers/tokenizer.ts';

export interface CachedCorpus {
  /** The corpus, which is now read from its cache. */
  readonly corpus: Corpus;
  readonly trainingTokens: number;
  /** Tokens of the training part, per source of a mixture; their sum is `trainingTokens`. */
  readonly sourceTokens: readonly number[];
  readonly validationTokens: number;
  /** What was repaired or left out. */
  readonly leftOut: ReadCounts;
}

/**
 * The corpus with a cache of its tokens below `folder`. Missing files of the cache are written, in one pass over the
 * text.
 * @throws wrongInput as encodedText; environmentFailure if the folder cannot be written
 */
export async function cachedCorpus(
  corpus: Corpus,
  tokenizer: Tokenizer,
  folder: string,
  options: EncodeOptions = {},
): Promise<CachedCorpus> {
  const cached = { ...corpus, tokenCache: path.join(folder, await keyOf(corpus, tokenizer)) };
  const leftOut = noCounts();
  const tokensOf = async (part: CorpusPart): Promise<number[]> => {
    const tokens: number[] = [];
    for (const one of part.parts ?? [part]) tokens.push(await fillFile(cached, one, tokenizer, options, leftOut));
    return tokens;
  };
  const sumOf = (counts: readonly number[]): number => counts.reduce((sum, count) => sum + count, 0);
  const sourceTokens = await tokensOf(corpus.training);
  return {
    corpus: cached,
    trainingTokens: sumOf(sourceTokens),
    sourceTokens,
    validationTokens: sumOf(await tokensOf(corpus.validation)),
    leftOut,
  };
}

/** Whether a corpus can be cached: not if it is read from standard input. */
export const isCacheable = ({ files }: Corpus): boolean => files.every(({ source }) => source?.path !== '-');

/**
 * The cache file with the tokens of a part, also of a part that starts later; undefined without a cache.
 */
export function tokenFileOf(
  { tokenCache }: Pick<Corpus, 'tokenCache'>,
  { endByte, documents }: CorpusPart,
): string | undefined {
  return tokenCache === undefined
    ? undefined
    : path.join(tokenCache, `to-${endByte}${documents === undefined ? '' : `-${documents.side}`}.tokens`);
}

async function fillFile(
  corpus: Corpus,
  part: CorpusPart,
  tokenizer: Tokenizer,
  options: EncodeOptions,
  leftOut: ReadCounts,
): Promise<number> {
  const file = tokenFileOf(corpus, part)!;
  const found = await tokensOfFile(file);
  if (found !== null) {
    if (mayLeaveOut(corpus))
      addCounts(leftOut, (await storedCounts(file)) ?? (await storeCounts(file, await countLeftOut(corpus, part))));
    return found;
  }
  const counts = noCounts();
  await removeAbandoned(path.dirname(file));
  let tokens = 0;
  await replaceFileDurably(file, async (temporaryPath) => {
    tokens = await writeTokenFile(
      temporaryPath,
      encodedText(corpus, part, tokenizer, { ...options, counts }),
      tokenizer.vocabularySize,
    );
  });
  if (mayLeaveOut(corpus)) addCounts(leftOut, await storeCounts(file, counts));
  return tokens;
}

/** Of one running text whose bad bytes are refused, nothing is left out. */
const mayLeaveOut = ({ separatesDocuments, encodingErrors }: Corpus): boolean =>
  separatesDocuments === true || (encodingErrors ?? 'error') !== 'error';

const countsFileOf = (file: string): string => file.replace(/\.tokens$/, '.leftOut.json');

/** What was left out of the text of a file of the cache; null if that is not known. */
async function storedCounts(file: string): Promise<ReadCounts | null> {
  try {
    const counts = JSON.parse(await readFile(countsFileOf(file), 'utf8')) as ReadCounts;
    return Object.keys(noCounts()).every((key) => Number.isSafeInteger(counts[key as keyof ReadCounts]))
      ? counts
      : null;
  } catch {
    return null; // missing or damaged: the text is read again
  }
}

async function storeCounts(file: string, counts: ReadCounts): Promise<ReadCounts> {
  await replaceFileDurably(countsFileOf(file), (temporaryPath) => writeFile(temporaryPath, JSON.stringify(counts)));
  return counts;
}

async function countLeftOut(corpus: Corpus, part: CorpusPart): Promise<ReadCounts> {
  const counts = noCounts();
  for await (const _ of textChunks(corpus, part, { counts }));
  return counts;
}

/** Removes unfinished files of processes that died. Those of a process still writing have a recent time. */
async function removeAbandoned(folder: string): Promise<void> {
  for (const entry of await entriesOf(folder)) {
    if (leftoverOf(entry) === undefined) continue;
    const abandoned = path.join(folder, entry);
    const changed = await stat(abandoned).catch(() => undefined); // its writer may just have finished
    if (changed !== undefined && Date.now() - changed.mtimeMs > abandonedMs) await rm(abandoned, { force: true });
  }
}

const abandonedMs = 3_600_000;

/**
 * Raised when the same files and settings give another text than before. 2: pairs with an empty prompt, quotes inside
 * fields of CSV and TSV.
 */
const textVersion = 2;

async function keyOf(corpus: Corpus, tokenizer: Tokenizer): Promise<string> {
  const { files } = await corpusManifest(corpus, { trainingTokens: 0, validationTokens: 0 });
  const described = await Promise.all(
    files.map(async ({ bytes, sha256 }, i) => {
      const {
        path: filePath,
        format,
        compression,
        markBytes,
        source: { field, quotes, emptyRows, prompt, completion, documents, separator } = {},
        source: { messages, lossOn, chosen, rejected } = {},
      } = corpus.files[i]!;
      // Only samples of long files are hashed, so their modification time is part of the key.
      const changedMs = bytes > wholeBytes ? (await stat(filePath)).mtimeMs : null;
      const fields = { field, quotes, emptyRows, prompt, completion, documents, separator };
      const chat = messages && { messages, lossOn, date: corpus.chats?.date };
      const preference = chosen && { chosen, rejected, date: corpus.chats?.date };
      return {
        ...{ bytes, sha256, changedMs, format, compression, markBytes, ...fields },
        ...(chat && { chat }),
        ...(preference && { preference }),
      };
    }),
  );
  const content = {
    tokenFileVersion,
    textVersion,
    unicode: process.versions.unicode, // decides what letters and numbers are, and normalization
    files: described,
    encodingErrors: corpus.encodingErrors,
    separatesDocuments: corpus.separatesDocuments,
    training: corpus.training,
    validation: corpus.validation,
    tokenizer: renderTokenizer(tokenizer),
  };
  return createHash('sha256').update(JSON.stringify(content)).digest('hex').slice(0, 32);
}
