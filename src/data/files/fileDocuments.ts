/**
 * The documents of one file, by its format: rows of JSON lines, CSV, TSV and Parquet, parts of a text between
 * separators.
 */
import { wrongInput } from '../../errors.ts';
import { badUtf8, placeInFile } from './corpus.ts';
import type { ByteRange, CorpusFile, ReadableCorpus } from './corpus.ts';
import { parquetRecords } from './parquet.ts';
import { fieldsOf, findRecordEnd } from './separatedValues.ts';
import { findBytes, stretches } from './stretches.ts';
import type { FindDelimiter, Stretch } from './stretches.ts';
import type { ReadOptions } from './utf8Chunks.ts';
import { firstBadByte, mended } from '../utf8.ts';

/** A document that is whole in memory. */
interface FileDocument {
  /** Position in the corpus where its reading begins. */
  readonly startByte: number;
  /** Where it stands, for messages, as in "line 3 of a.jsonl". */
  readonly place: string;
  /** Well-formed UTF-8; may be empty. */
  readonly text: Uint8Array;
  /** Of a pair: what follows the prompt `text` and alone counts towards the loss; else null. */
  readonly completion: Uint8Array | null;
}

/**
 * The documents that begin in `range` of the corpus; it begins where one does.
 * @throws wrongInput naming file and line, byte or row of what cannot be read, or of a field that is missing or no
 *   text.
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
      for await (const { startByte, bytes } of stretches(
        file,
        range,
        findBytes(Buffer.from(file.source!.separator!)),
        options,
      )) {
        yield {
          startByte,
          place: placeInFile(file, startByte),
          text: Uint8Array.from(wellFormed(bytes, read, startByte)),
          completion: null,
        };
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
  const findEnd = findBytes(Uint8Array.of(0x0a));
  for await (const record of records(read, findEnd)) {
    const document = await placed(record, 'line', read, findEnd, (place) => jsonDocument(record, place, read));
    if (document !== null) yield document;
  }
}

function jsonDocument({ startByte, bytes }: FileRecord, place: string, read: Reading): FileDocument | null {
  const text = Buffer.from(wellFormed(bytes, read, startByte))
    .toString('utf8')
    .trim();
  if (text === '') return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const whole = text.startsWith('[') || text === '{' ? ' JSON lines have one whole object on every line.' : '';
    throw wrongInput(`${place} is not valid JSON: ${(cause as Error).message}.${whole} Mend or remove the line.`, {
      cause,
    });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw wrongInput(`${place} is no JSON object. JSON lines have one on every line, with the text in a field.`);
  }
  return documentOf(value as Record<string, unknown>, read, startByte, place);
}

async function* valueDocuments(read: Reading, delimiter: ',' | '\t'): AsyncGenerator<FileDocument, void, void> {
  const { file } = read;
  const header = { startByte: file.startByte, endByte: file.startByte + 1 };
  let names: string[] = [];
  for await (const record of records({ ...read, range: header }, findRecordEnd)) {
    names = recordFields(record, placeOf(file, record, 'record'), read, delimiter);
    const twice = fieldNames(file).find((name) => names.indexOf(name) !== names.lastIndexOf(name));
    if (twice !== undefined)
      throw wrongInput(
        `${file.path} has two columns called ${JSON.stringify(twice)}. Rename one, or name another in corpus.sources.`,
      );
  }
  for await (const record of records(read, findRecordEnd)) {
    const { startByte, bytes } = record;
    if (startByte === file.startByte || bytes.length === 0 || (bytes.length === 1 && bytes[0] === 0x0d)) continue;
    yield await placed(record, 'record', read, findRecordEnd, (place) => {
      const values = recordFields(record, place, read, delimiter);
      if (values.length !== names.length) {
        throw wrongInput(
          `${place} has ${values.length} fields, but the header has ${names.length}. Mend or remove the record.`,
        );
      }
      return documentOf(Object.fromEntries(names.map((name, i) => [name, values[i]])), read, startByte, place);
    });
  }
}

function recordFields({ startByte, bytes }: FileRecord, place: string, read: Reading, delimiter: ',' | '\t'): string[] {
  const fields = fieldsOf(Buffer.from(wellFormed(bytes, read, startByte)).toString('utf8'), delimiter);
  if (fields === null)
    throw wrongInput(`${place}: a quoted field does not end as RFC 4180 has it. Mend or remove the record.`);
  return fields;
}

interface FileRecord extends Stretch {
  /** From 1, as editors count lines; null where reading began inside the file. */
  readonly number: number | null;
}

async function* records(read: Reading, findEnd: () => FindDelimiter): AsyncGenerator<FileRecord, void, void> {
  let number = read.range.startByte === read.file.startByte ? 0 : null;
  for await (const stretch of stretches(read.file, read.range, findEnd, read.options)) {
    if (number !== null) number++;
    yield { ...stretch, number };
  }
}

/**
 * What `parse` makes of a record, given its place. Where it refuses one whose number is not known, the records before
 * it are counted, so that the message can tell the number: one more pass, but the last.
 */
async function placed<Parsed>(
  record: FileRecord,
  unit: 'line' | 'record',
  read: Reading,
  findEnd: () => FindDelimiter,
  parse: (place: string) => Parsed,
): Promise<Parsed> {
  try {
    return parse(placeOf(read.file, record, unit));
  } catch (refusal) {
    if (record.number !== null) throw refusal;
    let number = 1;
    const before = { startByte: read.file.startByte, endByte: record.startByte };
    for await (const _ of stretches(read.file, before, findEnd, read.options)) number++;
    return parse(placeOf(read.file, { ...record, number }, unit));
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
    const has =
      value === undefined
        ? `has no field ${JSON.stringify(field)} (it has ${Object.keys(values).join(', ') || 'none'})`
        : null;
    throw wrongInput(
      `${place} ${has ?? `has no text in ${JSON.stringify(field)}: ${JSON.stringify(value)?.slice(0, 40)}`}. Name the field that holds the text in corpus.sources.`,
    );
  });
  return { startByte, place, text: text!, completion: completion ?? null };
}

/** JSON can spell half a surrogate pair, which is no character. */
function wellFormedString(
  value: string,
  { encodingErrors, options }: Reading,
  place: string,
  field: string,
): Uint8Array {
  const lone = /\p{Surrogate}/gu;
  if (!lone.test(value)) return Buffer.from(value);
  if (encodingErrors === 'error') {
    throw wrongInput(
      `${place}: ${JSON.stringify(field)} holds a lone surrogate, which is no character. Mend it, or set corpus.encodingErrors: replace or skip.`,
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
  const result = mended(bytes, encodingErrors);
  if (options.counts) options.counts.badBytes += result.badBytes;
  return result.bytes;
}

function placeOf(file: CorpusFile, { startByte, number }: FileRecord, unit: 'line' | 'record'): string {
  return number === null
    ? placeInFile(file, startByte)
    : `${unit} ${number} (byte ${file.markBytes + startByte - file.startByte}) of ${file.path}`;
}
