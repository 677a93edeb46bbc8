/**
 * Reads and writes tokenizer.json: for `characters` and `bytes` in a JSON format of clm with its name and version, for
 * byte-pair encoding in Hugging Face's format. Files may come from anywhere, so everything is checked.
 */
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';

import { wrongInput } from '../../errors.ts';
import { chatFormatOf } from '../chat/chatFormats.ts';
import { refusePointerAt } from '../../storage/pointerFiles.ts';
import { looksLikeHuggingFace, tokenizerFromHuggingFace } from './bpe/files/huggingFaceFile.ts';
import { bytesTokenizer } from './bytes.ts';
import { charactersTokenizer } from './characters.ts';
import { chatFormat, loneSurrogate, tokenizerFormat, tokenizerVersion } from './tokenizer.ts';
import type { ChatFormat, Tokenizer } from './tokenizer.ts';

/** The files of the largest vocabularies have 30 MB. */
const maximumCharacters = 2 ** 27;

const header = { format: z.literal(tokenizerFormat), version: z.literal(tokenizerVersion) };

const endOfText = z.literal(true).optional();

const fileSchema = z.discriminatedUnion('kind', [
  z.strictObject({ ...header, kind: z.literal('bytes'), endOfText, chat: chatFormat.optional() }),
  z.strictObject({
    ...header,
    kind: z.literal('characters'),
    endOfText,
    chat: chatFormat.optional(),
    characters: z
      .string()
      .min(1, 'no characters')
      .refine((text) => !loneSurrogate.test(text), 'a lone surrogate')
      .refine(ascends, 'characters that are not unique and sorted by code point'),
  }),
]);

/**
 * The tokenizer of a file, or of a folder with a tokenizer.json: a run, a checkpoint, a Hugging Face model.
 * @param endOfText as `tokenizerFromFile`
 * @throws wrongInput as `tokenizerFromFile`, and if there is no such file
 */
export async function readTokenizerFile(fileOrFolder: string, endOfText?: string | null): Promise<Tokenizer> {
  let file = fileOrFolder;
  try {
    if ((await stat(file)).isDirectory()) file = path.join(file, 'tokenizer.json');
    refusePointerAt(file);
    const { size } = await stat(file);
    if (size > maximumCharacters) throw wrongInput(`${file} is too large for a tokenizer: ${size} bytes.`);
    const text = (await readFile(file, 'utf8')).replace(/^\uFEFF/, ''); // a byte order mark is not part of the JSON
    const tokenizer = tokenizerFromFile(text, file, endOfText);
    const chat = tokenizer.chat ?? chatFormatOf(path.dirname(file));
    return chat === null || chat === tokenizer.chat ? tokenizer : withChat(tokenizer, chat);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR')
      throw wrongInput(`No tokenizer at ${file}. Name a tokenizer.json, or a folder with one.`, { cause: error });
    if (code === 'EACCES' || code === 'EPERM')
      throw wrongInput(`Cannot read ${file}: permission denied.`, { cause: error });
    if (code === 'EISDIR') throw wrongInput(`${file} is a folder, not a tokenizer.json.`, { cause: error });
    throw error;
  }
}

/** The same tokenizer with another format of chats, which its file then holds. */
export function withChat(tokenizer: Tokenizer, chat: ChatFormat): Tokenizer {
  const json = tokenizer.toJSON() as { clm?: object };
  const withFormat = looksLikeHuggingFace(json) ? { ...json, clm: { ...json.clm, chat } } : { ...json, chat };
  return { ...tokenizer, chat, toJSON: () => withFormat };
}

/** The text of a tokenizer's file, with a newline at the end. Equal tokenizers have equal files. */
export const renderTokenizer = (tokenizer: Tokenizer): string => `${JSON.stringify(tokenizer.toJSON(), null, 2)}\n`;

/**
 * The tokenizer of a file's text, in either format.
 * @param source the file's path, only for messages
 * @param endOfTextOfFile for Hugging Face's format: the special token that ends a document, null for none; by default
 *   the one the file names, or a usual one
 * @param otherEnds for Hugging Face's format: further ids that end a completion; by default those the file names
 * @throws wrongInput naming the file and what is wrong with it
 */
export function tokenizerFromFile(
  text: string,
  source: string,
  endOfTextOfFile?: string | null,
  otherEnds?: readonly number[],
): Tokenizer {
  if (text.length > maximumCharacters)
    throw wrongInput(`${source} is too large for a tokenizer: ${text.length} characters.`);
  const value = parseJson(text, source);
  if (looksLikeHuggingFace(value)) return tokenizerFromHuggingFace(value as object, source, endOfTextOfFile, otherEnds);
  const { format, version } = headerOf(value);
  if (format !== tokenizerFormat) {
    throw wrongInput(`${source} is not a clm tokenizer: its "format" is not "${tokenizerFormat}".`);
  }
  if (version !== tokenizerVersion) {
    throw wrongInput(
      `${source} has version ${JSON.stringify(version)} of the tokenizer format; ` +
        `this clm reads version ${tokenizerVersion}. Use the version of clm that wrote it.`,
    );
  }
  const result = fileSchema.safeParse(value);
  if (!result.success) {
    const [problem] = result.error.issues;
    const key = problem?.path.length ? `"${problem.path.join('.')}": ` : '';
    throw wrongInput(`${source} is damaged: ${key}${problem?.message}. Get a fresh copy of the file.`);
  }
  const { data } = result;
  const options = { endOfText: data.endOfText === true };
  const tokenizer = data.kind === 'bytes' ? bytesTokenizer(options) : charactersTokenizer(data.characters, options);
  return data.chat === undefined ? tokenizer : withChat(tokenizer, data.chat);
}

function parseJson(text: string, source: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw wrongInput(`${source} is damaged: it is not JSON. Get a fresh copy of the file.`, { cause });
  }
}

function headerOf(value: unknown): { format?: unknown; version?: unknown } {
  return typeof value === 'object' && value !== null ? value : {};
}

function ascends(text: string): boolean {
  let previous = -1;
  for (const character of text) {
    const code = character.codePointAt(0)!;
    if (code <= previous) return false;
    previous = code;
  }
  return true;
}
