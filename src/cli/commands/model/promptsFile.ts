/** Prompts and other lines of a file or stdin, read one at a time, so that the file may be larger than the memory. */
import { isUtf8 } from 'node:buffer';
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { chatMessages } from '../../../data/chat/messages.ts';
import { wrongInput } from '../../../errors.ts';
import { repeatedKeys } from '../../../jsonKeys.ts';
import type { AskedPrompt } from '../../../sampling/requests.ts';
import { refusePointerAt } from '../../../storage/pointerFiles.ts';
import { sayWaiting, unreadable } from '../../textInput.ts';

export type PromptsFormat = 'text' | 'jsonl';

/**
 * The prompts of a file, `-` for stdin. Each line is a prompt, or a JSON object with "prompt" or "messages", settings,
 * and an "id" that is repeated with the completions. Without a format: by the name (.jsonl), else by the first
 * character.
 *
 * @param warn is told, after the last prompt, of lines that are none
 * @throws wrong input naming file and line
 */
export async function* promptsOfFile(
  file: string,
  format: PromptsFormat | undefined,
  warn: (message: string) => void = () => {},
): AsyncGenerator<AskedPrompt, void, void> {
  let known = format ?? (file.endsWith('.jsonl') ? 'jsonl' : undefined);
  let number = 0;
  let blank = 0;
  for await (const line of linesOf(file)) {
    number++;
    if (line.trim() === '') {
      blank++;
      continue;
    }
    known ??= line.startsWith('{') ? 'jsonl' : 'text';
    yield known === 'text' ? { prompt: line, location: placeOf(file, number) } : parseLine(line, placeOf(file, number));
  }
  const name = file === '-' ? 'stdin' : file;
  if (blank === number) warn(`${name} has no prompts`);
  else if (blank > 0 && known === 'text') warn(`${name}: blank lines passed over: ${blank}`);
}

/**
 * The lines of a file or of stdin (`-`), streamed.
 *
 * @throws wrong input if the file cannot be read, or a line is not UTF-8
 */
export async function* linesOf(file: string): AsyncGenerator<string, void, void> {
  // One character per byte: given text, readline would also split at U+2028 and hide invalid UTF-8 behind U+FFFD.
  const input = file === '-' ? process.stdin.setEncoding('latin1') : createReadStream(file, 'latin1');
  if (file === '-') sayWaiting();
  else refusePointerAt(file);
  let number = 0;
  try {
    for await (const bytes of createInterface({ input, crlfDelay: Infinity })) {
      const utf8 = Buffer.from(bytes, 'latin1');
      if (!isUtf8(utf8)) throw wrongInput(`${placeOf(file, number + 1)}this is not UTF-8. Convert the file to UTF-8.`);
      const text = utf8.toString('utf8');
      yield number++ === 0 ? text.replace(/^\uFEFF/, '') : text; // a byte order mark
    }
  } catch (error) {
    throw (error as NodeJS.ErrnoException).syscall === undefined ? error : unreadable(file, error);
  }
}

export const placeOf = (file: string, line: number): string => `${file === '-' ? 'stdin' : file}:${line}: `;

/** Parses the JSON object of a line. @throws wrong input naming file and line */
export function parseObject(line: string, place: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw wrongInput(`${place}invalid JSON (${(cause as Error).message})`, { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw wrongInput(`${place}each line must be a JSON object`);
  const [repeated] = repeatedKeys(line);
  if (repeated !== undefined) throw wrongInput(`${place}the key ${JSON.stringify(repeated)} is there twice`);
  return value as Record<string, unknown>;
}

function parseLine(line: string, place: string): AskedPrompt {
  const { prompt, messages, id, ...settings } = parseObject(line, place);
  const rest = { settings, location: place, ...(id === undefined ? {} : { id }) };
  if (messages !== undefined) {
    if (prompt !== undefined) throw wrongInput(`${place}"prompt" and "messages" are both given; choose one`);
    return { prompt: '', messages: chatMessages(messages, `${place}"messages"`), ...rest };
  }
  if (typeof prompt !== 'string') throw wrongInput(`${place}"prompt" must be a string, or "messages" a list`);
  return { prompt, ...rest };
}
