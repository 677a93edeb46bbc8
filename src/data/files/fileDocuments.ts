/**
 * Stage: documents. The documents of one file, by its format: records of JSON lines, CSV, TSV and Parquet, and parts of
 * a text between separators.
 */
import { wrongInput } from '../../errors.ts';
import { badUtf8, locationInFile } from './corpus.ts';
import type { ByteRange, CorpusFile, ReadableCorpus } from './corpus.ts';
import { recordIn } from './jsonRecords.ts';
import { parquetRecords } from './parquet.ts';
import { fieldsOf, findRecordEnd } from './separatedValues.ts';
import { findBytes, splitAtDelimiters } from './splitAtDelimiters.ts';
import type { FindDelimiter, DelimitedPart } from './splitAtDelimiters.ts';
import type { ReadOptions } from './utf8Chunks.ts';
import { firstBadByte, repaired } from '../utf8.ts';

/** A document, held in memory as a whole. */
interface FileDocument {
  /** Position in the corpus. */
  readonly startByte: number;
  /** Where it is, for messages, e.g. "line 3 of a.jsonl". */
  readonly location: string;
  /** Well-formed UTF-8; may be empty. */
  readonly text: Uint8Array;
  /** Of a pair: what follows the prompt `text` and alone counts towards the loss; else null. */
  readonly completion: Uint8Array | null;
}

/**
 * The documents that begin in `range`, which itself starts at the start of a document.
 * @throws wrongInput naming file and line, byte or row if a record cannot be read, or a field is missing or not text
 */
export async function* fileDocuments(
  file: CorpusFile,
  range: ByteRange,
  corpus: Pick<ReadableCorpus, 'encodingErrors'>,
  options: ReadOptions = {},
): AsyncGenerator<FileDocument, void, void> {
  const read = { file, range, encodingErrors: corpus.encodingErrors ?? 'error', options } as const;
  const format = file.format ?? 'text';
  switch (format) {
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
      for await (const { startByte, bytes } of splitAtDelimiters(
        file,
        range,
        findBytes(Buffer.from(file.source!.separator!)),
        options,
      )) {
        yield {
          startByte,
          location: locationInFile(file, startByte),
          text: Uint8Array.from(wellFormed(bytes, read, startByte)),
          completion: null,
        };
      }
      return;
    default:
      throw new Error(`there is no reader for files of format ${String(format satisfies never)}`);
  }
}

interface Reading {
  readonly file: CorpusFile;
  readonly range: ByteRange;
  readonly encodingErrors: 'error' | 'replace' | 'skip';
  readonly options: ReadOptions;
}

/** Field names are taken literally: a dot is not a path into a nested object. */
async function* jsonDocuments(read: Reading): AsyncGenerator<FileDocument, void, void> {
  const findEnd = findBytes(Uint8Array.of(0x0a));
  for await (const record of records(read, findEnd)) {
    const document = await parseAtLocation(record, 'line', read, findEnd, (location) =>
      jsonDocument(record, location, read),
    );
    if (document !== null) yield document;
  }
}

function jsonDocument({ startByte, bytes }: FileRecord, location: string, read: Reading): FileDocument | null {
  const text = Buffer.from(wellFormed(bytes, read, startByte))
    .toString('utf8')
    .trim();
  if (text === '') return null;
  const values = recordIn(text, location, read.file, fieldNames(read.file));
  return documentOf(values, read, startByte, location);
}

async function* valueDocuments(read: Reading, delimiter: ',' | '\t'): AsyncGenerator<FileDocument, void, void> {
  const { file } = read;
  const header = { startByte: file.startByte, endByte: file.startByte + 1 };
  let names: string[] = [];
  for await (const record of records({ ...read, range: header }, findRecordEnd)) {
    names = recordFields(record, locationOf(file, record, 'record'), read, delimiter);
    const twice = fieldNames(file).find((name) => names.indexOf(name) !== names.lastIndexOf(name));
    if (twice !== undefined)
      throw wrongInput(
        `${file.path} has two columns called ${JSON.stringify(twice)}. Rename one, or choose another column.`,
      );
  }
  for await (const record of records(read, findRecordEnd)) {
    const { startByte, bytes } = record;
    if (startByte === file.startByte || bytes.length === 0 || (bytes.length === 1 && bytes[0] === 0x0d)) continue;
    yield await parseAtLocation(record, 'record', read, findRecordEnd, (location) => {
      const values = recordFields(record, location, read, delimiter);
      if (values.length !== names.length) {
        throw wrongInput(
          `${location} has ${values.length} fields, but the header has ${names.length}. Fix or remove the record.`,
        );
      }
      return documentOf(Object.fromEntries(names.map((name, i) => [name, values[i]])), read, startByte, location);
    });
  }
}

function recordFields(
  { startByte, bytes }: FileRecord,
  location: string,
  read: Reading,
  delimiter: ',' | '\t',
): string[] {
  const fields = fieldsOf(Buffer.from(wellFormed(bytes, read, startByte)).toString('utf8'), delimiter);
  if (fields === null)
    throw wrongInput(`${location}: a quoted field is not closed as RFC 4180 requires. Fix or remove the record.`);
  return fields;
}

interface FileRecord extends DelimitedPart {
  /** From 1, as editors count lines; null if reading began inside the file. */
  readonly number: number | null;
}

async function* records(read: Reading, findEnd: () => FindDelimiter): AsyncGenerator<FileRecord, void, void> {
  let number = read.range.startByte === read.file.startByte ? 0 : null;
  for await (const part of splitAtDelimiters(read.file, read.range, findEnd, read.options)) {
    if (number !== null) number++;
    yield { ...part, number };
  }
}

/**
 * Parses a record, given its location. If that fails and the record's number is not known, the records before it are
 * counted first, so that the message can name the line.
 */
async function parseAtLocation<Parsed>(
  record: FileRecord,
  unit: 'line' | 'record',
  read: Reading,
  findEnd: () => FindDelimiter,
  parse: (location: string) => Parsed,
): Promise<Parsed> {
  try {
    return parse(locationOf(read.file, record, unit));
  } catch (refusal) {
    if (record.number !== null) throw refusal;
    let number = 1;
    const before = { startByte: read.file.startByte, endByte: record.startByte };
    for await (const _ of splitAtDelimiters(read.file, before, findEnd, read.options)) number++;
    return parse(locationOf(read.file, { ...record, number }, unit));
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

function documentOf(values: Record<string, unknown>, read: Reading, startByte: number, location: string): FileDocument {
  const [text, completion] = fieldNames(read.file).map((field) => {
    const value = Object.hasOwn(values, field) ? values[field] : undefined;
    if (typeof value === 'string') return wellFormedString(value, read, location, field);
    const problem =
      value === undefined
        ? `has no field ${JSON.stringify(field)} (it has ${Object.keys(values).join(', ') || 'none'})`
        : `has no text in ${JSON.stringify(field)}: ${JSON.stringify(value)?.slice(0, 40)}`;
    throw wrongInput(`${location} ${problem}. Name the field that holds the text in corpus.sources.`);
  });
  return { startByte, location, text: text!, completion: completion ?? null };
}

/** JSON can spell half of a surrogate pair, which is not a character. */
function wellFormedString(
  value: string,
  { encodingErrors, options }: Reading,
  location: string,
  field: string,
): Uint8Array {
  const lone = /\p{Surrogate}/gu;
  if (!lone.test(value)) return Buffer.from(value);
  if (encodingErrors === 'error') {
    throw wrongInput(
      `${location}: ${JSON.stringify(field)} contains a lone surrogate, which is not a character. Fix it, or set ` +
        'corpus.encodingErrors to replace or skip.',
    );
  }
  const replaced = value.replace(lone, encodingErrors === 'replace' ? '\uFFFD' : '');
  if (options.counts) options.counts.badBytes += value.match(lone)!.length;
  return Buffer.from(replaced);
}

function wellFormed(bytes: Uint8Array, { file, encodingErrors, options }: Reading, startByte: number): Uint8Array {
  const bad = firstBadByte(bytes);
  if (bad < 0) return bytes;
  if (encodingErrors === 'error') throw badUtf8(file, startByte + bad);
  const result = repaired(bytes, encodingErrors);
  if (options.counts) options.counts.badBytes += result.badBytes;
  return result.bytes;
}

function locationOf(file: CorpusFile, { startByte, number }: FileRecord, unit: 'line' | 'record'): string {
  return number === null
    ? locationInFile(file, startByte)
    : `${unit} ${number} (byte ${file.markBytes + startByte - file.startByte}) of ${file.path}`;
}
