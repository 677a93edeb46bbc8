/** The documents of one file, by its format: rows of JSON lines, CSV, TSV and Parquet, parts of a text between separators. */
import { wrongInput } from '../errors.ts';
import type { ByteRange, CorpusFile, ReadableCorpus } from './corpus.ts';
import { parquetRecords } from './parquet.ts';
import { fieldsOf, findRecordEnd } from './separatedValues.ts';
import { findBytes, stretches } from './stretches.ts';
import type { ReadOptions } from './utf8Chunks.ts';
import { firstBadByte, mended } from './utf8.ts';

/** A document that is whole in memory. */
export interface FileDocument {
  /** Position in the corpus where its reading begins. */
  readonly startByte: number;
  /** Where it stands, for messages, as in "line 3 of a.jsonl". */
  readonly place: string;
  /** Well-formed UTF-8; may be empty. */
  readonly text: Uint8Array;
  /** What follows the text and is learnt; null where all of the text is. */
  readonly completion: Uint8Array | null;
}

/**
 * The documents that begin in `range` of the corpus; it begins where one does.
 * @throws wrongInput naming file and line, byte or row of what cannot be read, or of a field that is missing or no text.
 */
export async function* fileDocuments(
  file: CorpusFile,
  range: ByteRange,
  corpus: Pick<ReadableCorpus, 'encodingErrors'>,
  options: ReadOptions = {},
): AsyncGenerator<FileDocument, void, void> {
  const read = { file, range, encodingErrors: corpus.encodingErrors ?? 'error', options } as const;
  switch (file.format ?? 'text') {
    case 'jsonLines':
      yield* jsonDocuments(read);
      return;
    case 'csv':
      yield* valueDocuments(read, ',');
      return;
    case 'tsv':
      yield* valueDocuments(read, '\t');
      return;
    case 'parquet':
      yield* parquetDocuments(read);
      return;
    case 'text':
      for await (const { startByte, bytes } of stretches(file, range, findBytes(Buffer.from(file.source!.separator!)), options)) {
        const place = placeOf(file, startByte, null);
        yield { startByte, place, text: Uint8Array.from(wellFormed(bytes, read, startByte)), completion: null };
      }
  }
}

interface Reading {
  readonly file: CorpusFile;
  readonly range: ByteRange;
  readonly encodingErrors: 'error' | 'replace' | 'skip';
  readonly options: ReadOptions;
}

/** A path into an object is not looked for: the field's name is taken literally. */
async function* jsonDocuments(read: Reading): AsyncGenerator<FileDocument, void, void> {
  let line = read.range.startByte === read.file.startByte ? 0 : null;
  for await (const { startByte, bytes } of stretches(read.file, read.range, findBytes(Uint8Array.of(0x0a)), read.options)) {
    if (line !== null) line++;
    const place = placeOf(read.file, startByte, line);
    const text = Buffer.from(wellFormed(bytes, read, startByte)).toString('utf8').trim();
    if (text === '') continue;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (cause) {
      const whole = text.startsWith('[') || text === '{' ? ' JSON lines have one whole object on every line.' : '';
      throw wrongInput(`${place} is not valid JSON: ${(cause as Error).message}.${whole} Mend or remove the line.`, { cause });
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw wrongInput(`${place} is no JSON object. JSON lines have one on every line, with the text in a field.`);
    }
    yield documentOf(value as Record<string, unknown>, read, startByte, place);
  }
}

async function* valueDocuments(read: Reading, delimiter: ',' | '\t'): AsyncGenerator<FileDocument, void, void> {
  const { file, range } = read;
  const fields = (bytes: Uint8Array, startByte: number, place: string): string[] => {
    const found = fieldsOf(Buffer.from(wellFormed(bytes, read, startByte)).toString('utf8'), delimiter);
    if (found === null) throw wrongInput(`${place}: a quoted field does not end as RFC 4180 has it. Mend or remove the record.`);
    return found;
  };
  let names: string[] | undefined;
  const firstRecord = { startByte: file.startByte, endByte: file.startByte + 1 };
  for await (const { startByte, bytes } of stretches(file, firstRecord, findRecordEnd, read.options)) {
    names = fields(bytes, startByte, placeOf(file, startByte, 1));
    const twice = fieldNames(file).find((name) => names!.indexOf(name) !== names!.lastIndexOf(name));
    if (twice !== undefined) throw wrongInput(`${file.path} has two columns called ${JSON.stringify(twice)}. Rename one, or name another in corpus.sources.`);
  }
  let record = range.startByte === file.startByte ? 0 : null;
  for await (const { startByte, bytes } of stretches(file, range, findRecordEnd, read.options)) {
    if (record !== null) record++;
    if (startByte === file.startByte || bytes.length === 0 || (bytes.length === 1 && bytes[0] === 0x0d)) continue;
    const place = placeOf(file, startByte, record, 'record');
    const values = fields(bytes, startByte, place);
    if (values.length !== names!.length) {
      throw wrongInput(`${place} has ${values.length} fields, but the header has ${names!.length}. Mend or remove the record.`);
    }
    yield documentOf(Object.fromEntries(names!.map((name, i) => [name, values[i]])), read, startByte, place);
  }
}

async function* parquetDocuments(read: Reading): AsyncGenerator<FileDocument, void, void> {
  const { file, range } = read;
  const startRow = range.startByte - file.startByte;
  const endRow = Math.min(range.endByte - file.startByte, file.bytes);
  for await (const { row, values } of parquetRecords(file.path, fieldNames(file), startRow, endRow)) {
    yield documentOf(values, read, file.startByte + row, `row ${row} of ${file.path}`);
  }
}

function fieldNames({ source }: CorpusFile): string[] {
  return source?.prompt && source.completion ? [source.prompt, source.completion] : [source?.field ?? 'text'];
}

function documentOf(values: Record<string, unknown>, read: Reading, startByte: number, place: string): FileDocument {
  const [text, completion] = fieldNames(read.file).map((field) => {
    const value = Object.hasOwn(values, field) ? values[field] : undefined;
    if (typeof value === 'string') return wellFormedString(value, read, place, field);
    const has = value === undefined ? `has no field ${JSON.stringify(field)} (it has ${Object.keys(values).join(', ') || 'none'})` : null;
    throw wrongInput(`${place} ${has ?? `has no text in ${JSON.stringify(field)}: ${JSON.stringify(value)?.slice(0, 40)}`}. Name the field that holds the text in corpus.sources.`);
  });
  return { startByte, place, text: text!, completion: completion ?? null };
}

/** JSON can spell half a surrogate pair, which is no character. */
function wellFormedString(value: string, { encodingErrors, options }: Reading, place: string, field: string): Uint8Array {
  const lone = /\p{Surrogate}/gu;
  if (!lone.test(value)) return Buffer.from(value);
  if (encodingErrors === 'error') {
    throw wrongInput(`${place}: ${JSON.stringify(field)} holds a lone surrogate, which is no character. Mend it, or set corpus.encodingErrors: replace or skip.`);
  }
  const replaced = value.replace(lone, encodingErrors === 'replace' ? '\uFFFD' : '');
  if (options.counts) options.counts.badBytes += value.match(lone)!.length;
  return Buffer.from(replaced);
}

function wellFormed(bytes: Uint8Array, { file, encodingErrors, options }: Reading, startByte: number): Uint8Array {
  const bad = firstBadByte(bytes);
  if (bad < 0) return bytes;
  if (encodingErrors === 'error') throw badUtf8(file, startByte + bad);
  const result = mended(bytes, encodingErrors);
  if (options.counts) options.counts.badBytes += result.badBytes;
  return result.bytes;
}

/** The error for bytes that are no UTF-8. `byte` is a position in the corpus. */
export function badUtf8(file: CorpusFile, byte: number): Error {
  const place = `byte ${file.markBytes + byte - file.startByte} of ${file.compression ? 'the text in ' : ''}${file.path}`;
  return wrongInput(
    `${file.path} is not UTF-8: no character begins at ${place}. Convert the file to UTF-8, or set corpus.encodingErrors: replace or skip.`,
  );
}

function placeOf(file: CorpusFile, byte: number, line: number | null, unit = 'line'): string {
  const at = `byte ${file.markBytes + byte - file.startByte}`;
  return `${line === null ? at : `${unit} ${line} (${at})`} of ${file.path}`;
}
