/** Text for a command: `--text`, `--file`, or else stdin. */
import { isUtf8 } from 'node:buffer';
import { readFile } from 'node:fs/promises';
import { refuseLoneSurrogates } from '../data/tokenizers/tokenizer.ts';
import type { TextOrigin } from '../data/tokenizers/tokenizer.ts';
import { wrongInput } from '../errors.ts';
import { refusePointerAt } from '../storage/pointerFiles.ts';
import { note } from './terminal/output.ts';

export interface Input {
  readonly utf8: Buffer;
  readonly origin: TextOrigin;
}

/** @throws wrongInput for both text and file, an unreadable file, or a text with lone surrogates */
export async function readInput({
  text,
  file,
}: {
  text?: string | undefined;
  file?: string | undefined;
}): Promise<Input> {
  if (text !== undefined && file !== undefined) throw wrongInput('Give --text or --file, not both.');
  const name = text !== undefined ? '--text' : (file ?? 'stdin');
  const origin = {
    location: (index: number) => `at byte ${index} of ${name}`,
    remedy: 'Leave it out, or use another tokenizer.',
  };
  if (text !== undefined) {
    refuseLoneSurrogates(text);
    return { utf8: Buffer.from(text), origin };
  }
  if (file === undefined) {
    const chunks: Buffer[] = [];
    sayWaiting();
    for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
    return { utf8: Buffer.concat(chunks), origin };
  }
  refusePointerAt(file);
  try {
    return { utf8: await readFile(file), origin };
  } catch (error) {
    throw unreadable(file, error);
  }
}

/** Says that stdin is read, where a person at a terminal would see nothing happen. */
export function sayWaiting(): void {
  if (process.stdin.isTTY) note('reading from the terminal: type, then Enter and Ctrl-D (--help names the options)');
}

/** The error for a file that cannot be opened or read. */
export function unreadable(file: string, cause: unknown): Error {
  const code = (cause as NodeJS.ErrnoException).code ?? String(cause);
  const reasons: Record<string, string> = {
    ENOENT: 'it does not exist',
    EISDIR: 'it is a folder',
    EACCES: 'permission denied',
  };
  return wrongInput(`cannot read ${file}: ${reasons[code] ?? code}.`, { cause });
}

/** @throws wrongInput naming the first byte that is not valid UTF-8 */
export function wellFormed(utf8: Buffer, origin: TextOrigin): Buffer {
  if (isUtf8(utf8)) return utf8;
  let [good, bad] = [0, utf8.length]; // utf8[0, good) is well formed, except for a character cut off at its end
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    if (isPrefix(utf8, middle)) good = middle;
    else bad = middle;
  }
  throw wrongInput(`Invalid UTF-8 ${origin.location(good)}. Convert the text to UTF-8.`);
}

/** Whether the first `length` bytes can be the start of a valid text. */
function isPrefix(utf8: Buffer, length: number): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(utf8.subarray(0, length), { stream: true });
    return true;
  } catch {
    return false;
  }
}

/** Ids as numbers, separated by spaces or commas, or as `clm tokenizer encode --json` prints them. */
export function parseTokenIds(text: string): number[] {
  const trimmed = text.trim();
  if (!/^[[{]/.test(trimmed)) return trimmed === '' ? [] : trimmed.split(/[\s,]+/).map(tokenId);
  let value: unknown;
  try {
    value = JSON.parse(trimmed);
  } catch (cause) {
    throw wrongInput('stdin must be numbers, or one JSON object with tokenIds.', { cause });
  }
  const ids: unknown = Array.isArray(value) ? value : (value as { tokenIds?: unknown }).tokenIds;
  if (!Array.isArray(ids)) throw wrongInput('The JSON on stdin must have tokenIds, a list of token ids.');
  return ids.map((id: unknown) => tokenId(typeof id === 'number' ? String(id) : JSON.stringify(id)));
}

function tokenId(text: string): number {
  if (/^\d{1,10}$/.test(text)) return Number(text);
  throw wrongInput(`${text.slice(0, 40)} is not a token id; ids are whole numbers from 0.`);
}
