/** The text of one record: its field, or the prompt and the completion of a pair, as well-formed UTF-8. */
import { ExpectedError, wrongInput } from '../../errors.ts';
import { chatText, lossByteSpans } from '../chat/chatText.ts';
import type { ChatTemplate } from '../chat/chatTemplate.ts';
import type { ByteSpan } from '../chat/lossMask.ts';
import { chatField, chatMessages } from '../chat/messages.ts';
import { preferenceTexts } from '../chat/preferencePair.ts';
import { badUtf8 } from './corpus.ts';
import type { ByteRange, CorpusFile } from './corpus.ts';
import type { ReadOptions } from './utf8Chunks.ts';
import { firstBadByte, repaired } from '../utf8.ts';

/** A document, held in memory as a whole. */
export interface FileDocument {
  /** Position in the corpus. */
  readonly startByte: number;
  /** Where it is, for messages, e.g. "line 3 of a.jsonl". */
  readonly location: string;
  /** Well-formed UTF-8; may be empty. Of a preference pair: the prompt with the chosen completion. */
  readonly text: Uint8Array;
  /** Of a pair: what follows the prompt `text` and alone counts towards the loss; else null. */
  readonly completion: Uint8Array | null;
  /** Of a chat: the parts of the text that count towards the loss, none in a chat without an answer; else null. */
  readonly lossSpans: readonly ByteSpan[] | null;
  readonly preference?: Preference | undefined;
}

/** The rest of a preference pair. */
export interface Preference {
  readonly prompt: Uint8Array;
  /** The prompt with the rejected completion. */
  readonly rejected: Uint8Array;
  /** Whether the texts are rendered messages, in which special tokens are spelt. */
  readonly isChat: boolean;
}

/** What is being read, and how. */
export interface Reading {
  readonly file: CorpusFile;
  readonly range: ByteRange;
  readonly encodingErrors: 'error' | 'replace' | 'skip';
  readonly options: ReadOptions;
  /** Whether any row so far has had the field, and what is wrong with the first one that has not. */
  readonly fields: { isFound: boolean; missing: Error | null };
  /** Of chats; undefined until the tokenizer is known. */
  readonly template: ChatTemplate | undefined;
}

/** The fields that hold the text of a file's records. */
export function fieldNames({ source }: CorpusFile): string[] {
  if (source?.messages) return [source.messages];
  if (source?.chosen && source.rejected)
    return [...(source.prompt ? [source.prompt] : []), source.chosen, source.rejected];
  return source?.prompt && source.completion ? [source.prompt, source.completion] : [source?.field ?? 'text'];
}

/**
 * The document in a record; null for a record without text that `emptyRows: skip` passes over.
 * @throws wrongInput if a field is missing or not text
 */
export function documentOf(
  values: Record<string, unknown>,
  read: Reading,
  startByte: number,
  location: string,
): FileDocument | null {
  const { file, options, fields } = read;
  if (file.source?.messages) return chatDocument(values, read, startByte, location);
  if (file.source?.chosen) return preferenceDocument(values, read, startByte, location);
  const texts: Uint8Array[] = [];
  for (const field of fieldNames(file)) {
    const value = Object.hasOwn(values, field) ? values[field] : undefined;
    if (value !== undefined) fields.isFound = true;
    if (typeof value === 'string' || Buffer.isBuffer(value))
      texts.push(wellFormedText(value, read, startByte, location, field));
    else {
      const refusal = wrongInput(`${location} ${problemOf(values, field, value)}`);
      if ((value ?? null) !== null || file.source?.emptyRows !== 'skip') throw refusal;
      if (value === undefined) fields.missing ??= refusal;
      if (options.counts) options.counts.rowsWithoutText++;
      return null;
    }
  }
  return { startByte, location, text: texts[0]!, completion: texts[1] ?? null, lossSpans: null };
}

/** A chat, rendered. */
function chatDocument(
  values: Record<string, unknown>,
  read: Reading,
  startByte: number,
  location: string,
): FileDocument | null {
  const { file, options, fields, template } = read;
  const { messages: field, lossOn = 'assistant' } = file.source!;
  const value = Object.hasOwn(values, field!) ? values[field!] : undefined;
  if (value !== undefined) fields.isFound = true;
  const isWithout = (value ?? null) === null || (Array.isArray(value) && value.length === 0);
  if (isWithout && file.source!.emptyRows === 'skip') {
    if (value === undefined)
      fields.missing ??= wrongInput(`${location} ${problemOf(values, field!, value, 'the chats')}`);
    if (options.counts) options.counts.rowsWithoutText++;
    return null;
  }
  const where = `${location}: ${JSON.stringify(field)}`;
  if (value === undefined) throw wrongInput(`${location} ${problemOf(values, field!, value, 'the chats')}`);
  const messages = chatMessages(
    mapStrings(value, (text) => Buffer.from(wellFormedText(text, read, startByte, location, field!)).toString()),
    where,
  );
  if (template === undefined) throw new Error('a chat is read before its template is known');
  const chat = atLocation(where, () => chatText(template, messages, lossOn));
  return {
    startByte,
    location,
    text: Buffer.from(chat.text),
    completion: null,
    lossSpans: lossByteSpans(chat),
  };
}

/** A preference pair. */
function preferenceDocument(
  values: Record<string, unknown>,
  read: Reading,
  startByte: number,
  location: string,
): FileDocument | null {
  const { file, options, fields, template } = read;
  const found = new Map<string | null | undefined, unknown>();
  for (const field of fieldNames(file)) {
    const value = Object.hasOwn(values, field) ? values[field] : undefined;
    if (value !== undefined) fields.isFound = true;
    if ((value ?? null) === null) {
      const name = JSON.stringify(field);
      const keys = Object.keys(values).join(', ') || 'none';
      const refusal = wrongInput(
        `${location} has ${value === null ? `null in ${name}` : `no field ${name} (it has ${keys})`}. Fix the row, ` +
          'or name the fields of the pairs in corpus.sources: prompt, chosen, rejected. emptyRows: skip passes over ' +
          'such rows and counts them.',
      );
      if (file.source?.emptyRows !== 'skip') throw refusal;
      if (value === undefined) fields.missing ??= refusal;
      if (options.counts) options.counts.rowsWithoutText++;
      return null;
    }
    const text = (part: string | Buffer): string =>
      Buffer.from(wellFormedText(part, read, startByte, location, field)).toString();
    found.set(field, mapStrings(value, text));
  }
  const { prompt, chosen, rejected } = file.source!;
  const given = { prompt: found.get(prompt), chosen: found.get(chosen), rejected: found.get(rejected) };
  const texts = atLocation(location, () => preferenceTexts(given, location, template));
  return {
    ...{ startByte, location, completion: null, lossSpans: null },
    text: Buffer.from(texts.chosen),
    preference: {
      prompt: Buffer.from(texts.prompt),
      rejected: Buffer.from(texts.rejected),
      isChat: texts.isChat,
    },
  };
}

/** A refusal of the template, with the chat that it refuses. */
function atLocation<Value>(where: string, run: () => Value): Value {
  try {
    return run();
  } catch (error) {
    if (error instanceof ExpectedError && !error.message.startsWith(where))
      throw wrongInput(`${where}: ${error.message.replace(/\.?$/, '.')}`, { cause: error });
    throw error;
  }
}

/** A JSON value with every text in it replaced; those of Parquet are bytes. */
function mapStrings(value: unknown, replaced: (text: string | Buffer) => string): unknown {
  if (typeof value === 'string' || Buffer.isBuffer(value)) return replaced(value);
  if (Array.isArray(value)) return value.map((item) => mapStrings(item, replaced));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, mapStrings(item, replaced)]));
}

const wellFormedText = (
  value: string | Buffer,
  read: Reading,
  startByte: number,
  location: string,
  field: string,
): Uint8Array =>
  typeof value === 'string' ? wellFormedString(value, read, location, field) : wellFormed(value, read, startByte);

/**
 * Where no row has the field, its name is wrong, and no row is without text. To be called after the last row.
 * @throws wrongInput if so
 */
export function refuseFieldOfNoRow({ file, range, fields }: Reading): void {
  if (range.startByte === file.startByte && !fields.isFound && fields.missing !== null) throw fields.missing;
}

/** @param content what the field should hold */
function problemOf(values: Record<string, unknown>, field: string, value: unknown, content = 'the text'): string {
  const name = JSON.stringify(field);
  const passOver = 'emptyRows: skip in corpus.sources passes over such rows and counts them';
  if (value === null) return `has null in ${name}, no text. Fix the row; ${passOver}.`;
  const chats = chatField(values);
  const inSources =
    chats === undefined
      ? `Name the field that holds ${content} in corpus.sources`
      : `To train on the chats in ${JSON.stringify(chats)}, write messages: ${chats} (docs/chat.md)`;
  if (value === undefined) {
    const advice = chats === undefined ? `${inSources}; ${passOver}` : inSources;
    return `has no field ${name} (it has ${Object.keys(values).join(', ') || 'none'}). ${advice}.`;
  }
  return `has no text in ${name}: ${shown(value)}. ${inSources}.`;
}

/** A value as JSON, shortened; also one that JSON does not have. */
function shown(value: unknown): string {
  const text = JSON.stringify(value, function (this: Record<string, unknown>, key, given: unknown) {
    const raw = this[key];
    if (typeof raw === 'bigint') return Number(raw);
    return raw instanceof Uint8Array ? Buffer.from(raw).toString('utf8') : given;
  });
  return text === undefined ? typeof value : text.slice(0, 40);
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

/** Bytes of a file from position `startByte` of the corpus on, or in the row there of a Parquet file. */
export function wellFormed(bytes: Uint8Array, read: Reading, startByte: number): Uint8Array {
  const { file, encodingErrors, options } = read;
  const bad = firstBadByte(bytes);
  if (bad < 0) return bytes;
  if (encodingErrors === 'error') throw badUtf8(file, file.format === 'parquet' ? startByte : startByte + bad);
  const result = repaired(bytes, encodingErrors);
  if (options.counts) options.counts.badBytes += result.badBytes;
  return result.bytes;
}
