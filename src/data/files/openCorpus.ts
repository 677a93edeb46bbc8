/**
 * Opens the corpus of a config: lists its files, finds their formats and splits them into training and validation.
 * Plain files are only read at their start and around the split; compressed files are decompressed once, to learn their
 * length.
 */
import { basename } from 'node:path';

import { wrongInput } from '../../errors.ts';
import { shellPath } from '../../shellWord.ts';
import { contentBytes, openContent } from './content.ts';
import { hasDocuments } from './corpus.ts';
import type {
  ByteRange,
  Corpus,
  CorpusFile,
  CorpusPart,
  LeftOutFiles,
  MixtureSource,
  Packing,
  ReadableCorpus,
  SourceSettings,
} from './corpus.ts';
import { pointerBytes as shownBytes, refusePointer } from '../../storage/pointerFiles.ts';
import { compressionOf, formatOfName, refuseArchive } from './formats.ts';
import { parquetRows } from './parquet.ts';
import { openFile, sourceFiles, unreadable } from './sourceFiles.ts';
import { holdsList } from '../survey/fields.ts';
import { splitPoint } from './validationSplit.ts';
import type { EncodingErrors } from '../utf8.ts';

export interface CorpusSettings {
  readonly sources: readonly SourceSettings[];
  readonly validation: { readonly tail?: number | null; readonly hash?: number | null; readonly path?: string | null };
  readonly packing?: Packing | undefined;
  readonly shuffleTokens: number;
  readonly encodingErrors?: EncodingErrors | undefined;
  readonly chatDate?: string | null | undefined;
}

/**
 * The validation part is the last `validation.tail` of the positions, cut between characters of running text or between
 * documents; or the documents with the lowest hashes; or files of its own.
 * @throws wrongInput naming a source that is missing, unreadable or empty, or the key of a split that leaves a part
 *   empty
 */
export async function openCorpus(config: CorpusSettings): Promise<Corpus> {
  const { validation, encodingErrors, chatDate } = config;
  const own = await listed(config.sources, 'corpus.sources', 0);
  if (own.bytes === 0)
    throw wrongInput(
      'corpus.sources: the files contain no text (after decompression, without byte order marks). Name other files.',
    );
  const validationSource: SourceSettings = { ...config.sources[0]!, name: null, path: validation.path ?? '' };
  const other = validation.path
    ? await listed([validationSource], 'corpus.validation.path', own.bytes)
    : { files: [], bytes: 0, leftOut: { empty: [], hidden: [], repeated: [] } };
  const files = [...own.files, ...other.files];
  const bytes = own.bytes + other.bytes;
  const separatesDocuments = files.some(hasDocuments);
  const preferenceFiles = files.filter(({ source }) => source?.chosen);
  const packing = preferenceFiles.length > 0 ? 'preferences' : config.packing;
  let hasChats = files.some(({ source }) => source?.messages);
  for (const file of preferenceFiles) hasChats ||= await holdsList(file, file.source!.chosen!);
  const hasPairs = files.some(({ source }) => source?.prompt && source.completion);
  const hasLossMask = hasChats || hasPairs || packing === 'preferences';
  const leftOutFiles: LeftOutFiles = {
    empty: [...own.leftOut.empty, ...other.leftOut.empty],
    hidden: [...own.leftOut.hidden, ...other.leftOut.hidden],
    repeated: [...own.leftOut.repeated, ...other.leftOut.repeated],
  };
  const corpus = {
    files,
    leftOutFiles,
    bytes,
    separatesDocuments,
    hasLossMask,
    hasChats,
    chatDate,
    encodingErrors,
    packing,
  };
  const whole = { startByte: 0, endByte: own.bytes };
  if (validation.path) refuseShared(own.files, other.files);
  if (!separatesDocuments && validation.hash)
    throw withoutDocuments('corpus.validation.hash selects documents', 'use corpus.validation.tail');
  if (!separatesDocuments && packing === 'documents')
    throw withoutDocuments('corpus.packing: documents packs documents', 'use packing: concatenate');
  const split = async (range: ByteRange, ownFiles: readonly CorpusFile[]) =>
    validation.path
      ? { training: range, validation: { startByte: own.bytes, endByte: bytes } }
      : validation.hash
        ? hashSplit(range, validation.hash)
        : tailSplit({ ...corpus, files: ownFiles }, range, validation.tail ?? 0.1);
  if (!config.sources.some(({ weight }) => (weight ?? null) !== null))
    return { ...corpus, ...(await split(whole, own.files)) };
  const mixture: MixtureSource[] = [];
  for (const [i, source] of config.sources.entries()) {
    const ownFiles = own.files.filter((file) => file.source === source);
    if (ownFiles.length === 0)
      throw wrongInput(`corpus.sources[${i}].path: all files of ${source.path} already belong to earlier sources.`);
    const range = { startByte: ownFiles[0]!.startByte, endByte: ownFiles.at(-1)!.startByte + ownFiles.at(-1)!.bytes };
    const name = source.name ?? basename(source.path);
    if (mixture.some((other) => other.name === name))
      throw wrongInput(`corpus.sources[${i}]: two sources are called ${name}. Give each a name of its own.`);
    mixture.push({ name, weights: source, ...(await split(range, ownFiles)) });
  }
  const training = { ...whole, parts: mixture.map((source) => source.training) };
  const validationPart = validation.path
    ? mixture[0]!.validation
    : { ...whole, parts: mixture.map((source) => source.validation) };
  return { ...corpus, training, validation: validationPart, mixture };
}

function hashSplit(range: ByteRange, fraction: number): { training: CorpusPart; validation: CorpusPart } {
  const part = (side: 'training' | 'validation') => ({ ...range, documents: { fraction, side } });
  return { training: part('training'), validation: part('validation') };
}

async function tailSplit(
  corpus: ReadableCorpus,
  range: ByteRange,
  tail: number,
): Promise<{ training: CorpusPart; validation: CorpusPart }> {
  const { startByte, endByte } = range;
  const bytes = endByte - startByte;
  const cut = await splitPoint(corpus, startByte + Math.floor(bytes * (1 - tail)));
  if (cut === startByte || cut === endByte) {
    const part = cut === startByte ? 'training' : 'validation';
    throw wrongInput(
      `corpus.validation.tail: ${tail} of ${bytes} bytes leaves no ${part} text. Change it or add text.`,
    );
  }
  return { training: { startByte, endByte: cut }, validation: { startByte: cut, endByte } };
}

const withoutDocuments = (what: string, otherwise: string): Error =>
  wrongInput(
    `${what}, but the corpus is one running text. Set documents: file or a separator in corpus.sources, or ` +
      `${otherwise}.`,
  );

async function listed(
  sources: readonly SourceSettings[],
  key: string,
  startByte: number,
): Promise<{ files: CorpusFile[]; bytes: number; leftOut: LeftOutFiles }> {
  const files: CorpusFile[] = [];
  let bytes = 0;
  const empty: string[] = [];
  const { files: named, hidden, repeated } = await sourceFiles(sources, key);
  for (const { path, source } of named) {
    const file = await describeFile(path, startByte + bytes, sources[source]!);
    if (file.bytes === 0) {
      empty.push(path);
      continue;
    }
    files.push(file);
    bytes += file.bytes;
  }
  return { files, bytes, leftOut: { empty, hidden, repeated } };
}

function refuseShared(training: readonly CorpusFile[], validation: readonly CorpusFile[]): void {
  const shared = validation.find(({ path }) => training.some((file) => file.path === path));
  if (shared === undefined) return;
  throw wrongInput(
    `corpus.validation.path: ${shared.path} is also a training file. Remove it from corpus.sources or validate on ` +
      'another file.',
  );
}

/** By a byte order mark; without one, by a zero in every second byte, as UTF-16 has it in most western texts. */
function refuseUtf16(head: Uint8Array, path: string): void {
  const hasMark = (head[0] === 0xff && head[1] === 0xfe) || (head[0] === 0xfe && head[1] === 0xff);
  const zerosAt = (first: 0 | 1): boolean => head.every((byte, i) => (byte === 0) === (i % 2 === first));
  const order = hasMark ? '' : zerosAt(1) ? 'LE' : zerosAt(0) ? 'BE' : null;
  if (order === null || head.length < (hasMark ? 2 : 4)) return;
  const name = `UTF-16${order}`;
  throw wrongInput(`${path} is ${name}. Convert it to UTF-8: iconv -f ${name} -t UTF-8 ${shellPath(path)}`);
}

async function describeFile(path: string, startByte: number, source: SourceSettings): Promise<CorpusFile> {
  const wanted = source.format ?? 'auto';
  if (wanted === 'auto') refuseArchive(path);
  const format = wanted === 'auto' ? formatOfName(path) : wanted;
  const head = new Uint8Array(shownBytes);
  const handle = await openFile(path);
  let size: number;
  let headBytes: number;
  try {
    ({ size } = await handle.stat());
    headBytes = (await handle.read(head, 0, shownBytes, 0)).bytesRead;
  } catch (error) {
    throw unreadable(path, error);
  } finally {
    await handle.close();
  }
  refusePointer(head.subarray(0, headBytes), path);
  if (source.chosen && format === 'text')
    throw wrongInput(
      `${path}: preference pairs (chosen in corpus.sources) are read from JSON lines, CSV, TSV and Parquet.`,
    );
  if (source.messages && format !== 'jsonLines' && format !== 'parquet')
    throw wrongInput(
      `${path}: chats (messages in corpus.sources) are read from JSON lines and Parquet, not ${format}.`,
    );
  const described = { path, startByte, format, source };
  if (format === 'parquet')
    return { ...described, bytes: size === 0 ? 0 : await parquetRows(path), markBytes: 0, compression: null };
  const compression = compressionOf(head.subarray(0, headBytes), path);
  if (compression !== null) {
    size = await contentBytes(path, compression);
    const content = await openContent({ path, compression });
    headBytes = await content.read(head, 0, shownBytes, 0);
    await content.close();
  }
  refuseUtf16(head.subarray(0, headBytes), path);
  const markBytes = headBytes >= 3 && head[0] === 0xef && head[1] === 0xbb && head[2] === 0xbf ? 3 : 0;
  return { ...described, bytes: size - markBytes, markBytes, compression };
}
