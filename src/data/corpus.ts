/**
 * The corpus as one long sequence: the files of all sources laid end to end, split into training and validation.
 * Row 4 of the walk. Positions count bytes of decompressed content (of a Parquet file: rows); a byte order mark at the
 * start of a file is no text, it is left out here and so counted nowhere. Of plain files nothing is read but the first
 * bytes and those around the split; compressed files are decompressed once to learn their length.
 */
import { basename } from 'node:path';

import type { WeightSchedule } from '../config/mixtureWeights.ts';
import { wrongInput } from '../errors.ts';
import { contentBytes, openContent } from './content.ts';
import { compressionOf, formatOfName, refuseArchive } from './formats.ts';
import type { Compression, Format } from './formats.ts';
import { parquetRows } from './parquet.ts';
import { openFile, sourceFiles, unreadable } from './sourceFiles.ts';
import { splitPoint } from './split.ts';
import type { EncodingErrors } from './utf8.ts';

/** Positions `startByte` (included) to `endByte` (excluded) of the corpus. */
export interface ByteRange {
  readonly startByte: number;
  readonly endByte: number;
}

/** What is trained on, or what validates: a range, and of its documents perhaps only some. */
export interface CorpusPart extends ByteRange {
  /** The documents whose hash lies below `fraction` validate, the others train; undefined: all of the range. */
  readonly documents?: { readonly fraction: number; readonly side: 'training' | 'validation' } | undefined;
  /** The parts that it is made of, one for each source of a mixture; undefined: it is one. */
  readonly parts?: readonly CorpusPart[] | undefined;
}

/** A source of a mixture: what of it is trained on and what validates, and how much of the training it is. */
export interface MixtureSource {
  readonly name: string;
  /** Its tokens among those that are trained on are as its weight among all weights. */
  readonly weights: WeightSchedule;
  readonly training: CorpusPart;
  readonly validation: CorpusPart;
}

export interface CorpusFile {
  readonly path: string;
  /** Bytes of text: the size of the content without a byte order mark; rows of a Parquet file. */
  readonly bytes: number;
  /** Position of the file's text in the corpus. */
  readonly startByte: number;
  /** Where the text begins in the content: 3 behind a byte order mark, else 0. */
  readonly markBytes: number;
  readonly format?: Format | undefined;
  readonly compression?: Compression | null | undefined;
  /** How documents are found in it. */
  readonly source?: SourceSettings | undefined;
}

/** How the documents of a source are found; the keys of an entry of `corpus.sources`. */
export interface SourceSettings extends WeightSchedule {
  readonly path: string;
  readonly format?: 'auto' | Format | undefined;
  readonly field?: string | undefined;
  readonly prompt?: string | null | undefined;
  readonly completion?: string | null | undefined;
  readonly documents?: 'running' | 'file' | undefined;
  readonly separator?: string | null | undefined;
  readonly name?: string | null | undefined;
}

export interface CorpusSettings {
  readonly sources: readonly SourceSettings[];
  readonly validation: { readonly tail?: number | null; readonly hash?: number | null; readonly path?: string | null };
  readonly packing?: Packing | undefined;
  readonly shuffleTokens: number;
  readonly encodingErrors?: EncodingErrors | undefined;
}

/** How tokens fill windows: one after the other, or whole documents side by side that know nothing of each other. */
export type Packing = 'concatenate' | 'documents';

export interface Corpus {
  readonly files: readonly CorpusFile[];
  readonly bytes: number;
  readonly training: CorpusPart;
  readonly validation: CorpusPart;
  /** Whether the text is made of documents, with an end-of-text between them; else it is one running text. */
  readonly separatesDocuments?: boolean | undefined;
  /** Whether documents are pairs, with the loss on their completions only. */
  readonly hasPairs?: boolean | undefined;
  /** `concatenate` unless it says otherwise. */
  readonly packing?: Packing | undefined;
  /** The sources, where they have weights; else they are one sequence. */
  readonly mixture?: readonly MixtureSource[] | undefined;
  readonly encodingErrors?: EncodingErrors | undefined;
  /** The folder with the tokens of just these files and parts; undefined: they are encoded as they are read. */
  readonly tokenCache?: string | undefined;
}

/** What reading needs of a corpus. */
export type ReadableCorpus = Pick<Corpus, 'files' | 'separatesDocuments' | 'encodingErrors' | 'tokenCache'>;

/**
 * Lists the files of a corpus and splits it. The validation part is the last `validation.tail` of the positions, cut
 * at a character border of running text and at a document's start elsewhere; or the documents with the lowest hashes;
 * or files of its own.
 * @throws wrongInput naming the source (missing, unreadable, empty) or the key of a split that leaves a part empty.
 */
export async function openCorpus(config: CorpusSettings): Promise<Corpus> {
  const { validation, encodingErrors, packing } = config;
  const own = await listed(config.sources, 'corpus.sources', 0);
  if (own.bytes === 0) throw wrongInput('corpus.sources: the files hold no text: without compression and byte order marks they are empty.');
  const like: SourceSettings = { ...config.sources[0]!, name: null, path: validation.path ?? '' };
  const other = validation.path ? await listed([like], 'corpus.validation.path', own.bytes) : { files: [], bytes: 0 };
  const files = [...own.files, ...other.files];
  const bytes = own.bytes + other.bytes;
  const separatesDocuments = files.some(hasDocuments);
  const hasPairs = files.some(({ source }) => source?.prompt && source.completion);
  const corpus = { files, bytes, separatesDocuments, hasPairs, encodingErrors, packing };
  const whole = { startByte: 0, endByte: own.bytes };
  if (validation.path) refuseShared(own.files, other.files);
  if (!separatesDocuments && validation.hash) throw withoutDocuments('corpus.validation.hash chooses documents', 'use corpus.validation.tail');
  if (!separatesDocuments && packing === 'documents') throw withoutDocuments('corpus.packing: documents packs documents', 'use packing: concatenate');
  const split = async (range: ByteRange, ownFiles: readonly CorpusFile[]) =>
    validation.path
      ? { training: range, validation: { startByte: own.bytes, endByte: bytes } }
      : validation.hash
        ? hashSplit(range, validation.hash)
        : tailSplit({ ...corpus, files: ownFiles }, range, validation.tail ?? 0.1);
  if (!config.sources.some(({ weight }) => (weight ?? null) !== null)) return { ...corpus, ...(await split(whole, own.files)) };
  const mixture: MixtureSource[] = [];
  for (const [i, source] of config.sources.entries()) {
    const ownFiles = own.files.filter((file) => file.source === source);
    if (ownFiles.length === 0) throw wrongInput(`corpus.sources[${i}].path: every file of ${source.path} belongs to an earlier source already.`);
    const range = { startByte: ownFiles[0]!.startByte, endByte: ownFiles.at(-1)!.startByte + ownFiles.at(-1)!.bytes };
    const name = source.name ?? basename(source.path);
    if (mixture.some((other) => other.name === name)) throw wrongInput(`corpus.sources[${i}]: two sources are called ${name}. Give them names.`);
    mixture.push({ name, weights: source, ...(await split(range, ownFiles)) });
  }
  const training = { ...whole, parts: mixture.map((source) => source.training) };
  const validationPart = validation.path ? mixture[0]!.validation : { ...whole, parts: mixture.map((source) => source.validation) };
  return { ...corpus, training, validation: validationPart, mixture };
}

function hashSplit(range: ByteRange, fraction: number): { training: CorpusPart; validation: CorpusPart } {
  const part = (side: 'training' | 'validation') => ({ ...range, documents: { fraction, side } });
  return { training: part('training'), validation: part('validation') };
}

async function tailSplit(corpus: ReadableCorpus, range: ByteRange, tail: number): Promise<{ training: CorpusPart; validation: CorpusPart }> {
  const { startByte, endByte } = range;
  const bytes = endByte - startByte;
  const cut = await splitPoint(corpus, startByte + Math.floor(bytes * (1 - tail)));
  if (cut === startByte || cut === endByte) {
    const part = cut === startByte ? 'training' : 'validation';
    throw wrongInput(`corpus.validation.tail: ${tail} of ${bytes} bytes leaves no ${part} text. Change the fraction or give more text.`);
  }
  return { training: { startByte, endByte: cut }, validation: { startByte: cut, endByte } };
}

const withoutDocuments = (what: string, otherwise: string): Error =>
  wrongInput(`${what}, but the corpus is one running text. Split it with documents: file or separator in corpus.sources, or ${otherwise}.`);

/** Whether a file is made of documents; a running text is none. */
export function hasDocuments({ format, source }: CorpusFile): boolean {
  return (format ?? 'text') !== 'text' || (source?.separator ?? null) !== null || source?.documents === 'file';
}

/** "byte 17 of /texts/a.txt": the place in its file of a position in the corpus. */
export function placeInFile(file: CorpusFile, byte: number): string {
  const unit = file.format === 'parquet' ? 'row' : 'byte';
  return `${unit} ${file.markBytes + byte - file.startByte} of ${file.compression ? 'the text in ' : ''}${file.path}`;
}

async function listed(
  sources: readonly SourceSettings[],
  key: string,
  startByte: number,
): Promise<{ files: CorpusFile[]; bytes: number }> {
  const files: CorpusFile[] = [];
  let bytes = 0;
  for (const { path, source } of await sourceFiles(sources, key)) {
    const file = await measure(path, startByte + bytes, sources[source]!);
    if (file.bytes === 0) continue;
    files.push(file);
    bytes += file.bytes;
  }
  return { files, bytes };
}

function refuseShared(training: readonly CorpusFile[], validation: readonly CorpusFile[]): void {
  const shared = validation.find(({ path }) => training.some((file) => file.path === path));
  if (shared === undefined) return;
  throw wrongInput(`corpus.validation.path: ${shared.path} is also trained on. Take it out of corpus.sources or validate on another file.`);
}

async function measure(path: string, startByte: number, source: SourceSettings): Promise<CorpusFile> {
  const given = source.format ?? 'auto';
  if (given === 'auto') refuseArchive(path);
  const format = given === 'auto' ? formatOfName(path) : given;
  const head = new Uint8Array(4);
  const handle = await openFile(path);
  let size: number;
  let headBytes: number;
  try {
    ({ size } = await handle.stat());
    headBytes = (await handle.read(head, 0, 4, 0)).bytesRead;
  } catch (error) {
    throw unreadable(path, error);
  } finally {
    await handle.close();
  }
  const described = { path, startByte, format, source };
  if (format === 'parquet') return { ...described, bytes: size === 0 ? 0 : await parquetRows(path), markBytes: 0, compression: null };
  const compression = compressionOf(head.subarray(0, headBytes), path);
  if (compression !== null) {
    size = await contentBytes(path, compression);
    const content = await openContent({ path, compression });
    headBytes = await content.read(head, 0, 3, 0);
    await content.close();
  }
  const isUtf16 = headBytes >= 2 && ((head[0] === 0xff && head[1] === 0xfe) || (head[0] === 0xfe && head[1] === 0xff));
  if (isUtf16) throw wrongInput(`${path} begins as UTF-16 does. Convert it to UTF-8: iconv -f UTF-16 -t UTF-8.`);
  const markBytes = headBytes >= 3 && head[0] === 0xef && head[1] === 0xbb && head[2] === 0xbf ? 3 : 0;
  return { ...described, bytes: size - markBytes, markBytes, compression };
}
