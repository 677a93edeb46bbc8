/**
 * Stage: documents. The documents of one file, by its format: records of JSON lines, CSV, TSV and Parquet, and parts of
 * a text between separators.
 */
import { wrongInput } from '../../errors.ts';
import { chatTemplate } from '../chat/chatTemplate.ts';
import { locationInFile } from './corpus.ts';
import type { ByteRange, CorpusFile, ReadableCorpus } from './corpus.ts';
import { documentOf, fieldNames, refuseFieldOfNoRow, wellFormed } from './documentFields.ts';
import type { FileDocument, Reading } from './documentFields.ts';
import { recordIn } from './jsonRecords.ts';
import { parquetRecords } from './parquet.ts';
import { fieldsOf, findRecordEnd, looksJoined } from './separatedValues.ts';
import type { Separation } from './separatedValues.ts';
import { findBytes, splitAtDelimiters } from './splitAtDelimiters.ts';
import type { FindDelimiter, DelimitedPart } from './splitAtDelimiters.ts';
import type { ReadOptions } from './utf8Chunks.ts';

/**
 * The documents that begin in `range`, which itself starts at the start of a document.
 * @throws wrongInput naming file and line, byte or row if a record cannot be read, or a field is missing or not text
 */
export async function* fileDocuments(
  file: CorpusFile,
  range: ByteRange,
  corpus: Pick<ReadableCorpus, 'encodingErrors' | 'chats'>,
  options: ReadOptions = {},
): AsyncGenerator<FileDocument, void, void> {
  const { encodingErrors = 'error', chats } = corpus;
  const template = (file.source?.messages || file.source?.chosen) && chats ? chatTemplate(chats) : undefined;
  const read = { file, range, encodingErrors, options, fields: { isFound: false, missing: null }, template };
  const quotes = file.source?.quotes !== false;
  const format = file.format ?? 'text';
  switch (format) {
    case 'jsonLines':
      yield* jsonDocuments(read);
      return;
    case 'csv':
      yield* valueDocuments(read, { delimiter: ',', quotes });
      return;
    case 'tsv':
      yield* valueDocuments(read, { delimiter: '\t', quotes });
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
          lossSpans: null,
        };
      }
      return;
    default:
      throw new Error(`there is no reader for files of format ${String(format satisfies never)}`);
  }
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
  refuseFieldOfNoRow(read);
}

function jsonDocument({ startByte, bytes }: FileRecord, location: string, read: Reading): FileDocument | null {
  const text = Buffer.from(wellFormed(bytes, read, startByte))
    .toString('utf8')
    .trim();
  if (text === '') return null;
  const values = recordIn(text, location, read.file, fieldNames(read.file));
  return documentOf(values, read, startByte, location);
}

async function* valueDocuments(read: Reading, separation: Separation): AsyncGenerator<FileDocument, void, void> {
  const { file } = read;
  const header = { startByte: file.startByte, endByte: file.startByte + 1 };
  const findEnd = findRecordEnd(separation);
  let names: string[] = [];
  const uncounted = { ...read, range: header, options: { ...read.options, counts: undefined } };
  for await (const record of records(uncounted, findEnd)) {
    names = recordFields(textOf(record, uncounted), locationOf(file, record, 'record'), separation);
    refuseColumns(file, names);
  }
  for await (const record of records(read, findEnd)) {
    const { startByte, bytes } = record;
    if (startByte === file.startByte || bytes.length === 0 || (bytes.length === 1 && bytes[0] === 0x0d)) continue;
    const document = await parseAtLocation(record, 'record', read, findEnd, (location) => {
      const text = textOf(record, read);
      const values = recordFields(text, location, separation);
      if (values.length !== names.length) {
        throw wrongInput(
          `${location} has ${values.length} fields, but the header has ${names.length}. Fix or remove the record` +
            (separation.quotes && text.includes('"') ? `; ${withoutQuotes}.` : '.'),
        );
      }
      countSuspicious(text, names.length, separation, location, read);
      return documentOf(Object.fromEntries(names.map((name, i) => [name, values[i]])), read, startByte, location);
    });
    if (document !== null) yield document;
  }
}

function refuseColumns(file: CorpusFile, names: readonly string[]): void {
  const twice = fieldNames(file).find((name) => names.indexOf(name) !== names.lastIndexOf(name));
  if (twice !== undefined)
    throw wrongInput(
      `${file.path} has two columns called ${JSON.stringify(twice)}. Rename one, or choose another column.`,
    );
  const missing = fieldNames(file).find((name) => !names.includes(name));
  if (missing !== undefined)
    throw wrongInput(
      `${file.path} has no column ${JSON.stringify(missing)}; it has ${names.join(', ')}. Name the column that holds ` +
        'the text in corpus.sources.',
    );
}

const withoutQuotes = 'if quotes are plain text in this file, set quotes: false in corpus.sources';

const textOf = ({ startByte, bytes }: FileRecord, read: Reading): string =>
  Buffer.from(wellFormed(bytes, read, startByte)).toString('utf8');

function recordFields(text: string, location: string, separation: Separation): string[] {
  const fields = fieldsOf(text, separation);
  if (Array.isArray(fields)) return fields;
  const problem =
    fields === 'openQuote' ? 'a quoted field is not closed' : 'text follows the closing quote of a quoted field';
  throw wrongInput(`${location}: ${problem}. Fix or remove the record; ${withoutQuotes}.`);
}

function countSuspicious(
  text: string,
  columns: number,
  { delimiter, quotes }: Separation,
  location: string,
  { options: { counts } }: Reading,
): void {
  if (!quotes || counts === undefined || !text.includes('\n') || !looksJoined(text, columns, delimiter)) return;
  counts.suspiciousRecords++;
  counts.firstSuspicious ??= `${location} has ${text.split('\n').length} lines`;
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
    const document = documentOf(values, read, file.startByte + row, `row ${row} of ${file.path}`);
    if (document !== null) yield document;
  }
}

function locationOf(file: CorpusFile, { startByte, number }: FileRecord, unit: 'line' | 'record'): string {
  return number === null
    ? locationInFile(file, startByte)
    : `${unit} ${number} (byte ${file.markBytes + startByte - file.startByte}) of ${file.path}`;
}
