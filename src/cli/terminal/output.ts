/** Where text goes: results to stdout, everything else to stderr, colour only where a terminal wants it. */
import { styleText } from 'node:util';

/** Lines of results; see `harmless`. */
export const printResult = (text: string): boolean => process.stdout.write(`${harmless(text)}\n`);

/** One object a line, for scripts; on a terminal without control characters, by JSON's own escapes. */
export const printJson = (value: unknown): boolean => {
  const text = JSON.stringify(value);
  const escaped = process.stdout.isTTY
    ? text.replace(controls, (character) => `\\u${hexadecimal(character).padStart(4, '0')}`)
    : text;
  return process.stdout.write(`${escaped}\n`);
};

/** Lines for people; see `harmless`. Names and paths in them may be strangers'; of control sequences only ours pass. */
export const note = (text: string): boolean => {
  const shown = process.stderr.isTTY
    ? text
        .split(ownColours)
        .map((part, i) => (i % 2 === 0 ? escapeControls(part) : part))
        .join('')
    : text;
  return process.stderr.write(`${shown}\n`);
};

export const printError = (message: string): boolean => note(`${colour('red', 'error')}: ${message}`);
export const printWarning = (message: string): boolean => note(warningText(message));
export const warningText = (message: string): string => `${colour('yellow', 'warning')}: ${message}`;

/**
 * Text from a model or a corpus for a stream: on a terminal its control characters, which could move the cursor, set
 * the title or paste into the shell, are shown as \u{1b} and the like; a pipe gets the text as it is. Line ends and
 * tabs stay.
 */
export const harmless = (text: string, stream: { isTTY?: boolean } = process.stdout): string =>
  stream.isTTY ? escapeControls(text) : text;

/**
 * C0 but tab and line feed, DEL, C1, and the marks that reverse the direction of writing (https://trojansource.codes).
 */
const controls = /[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g;

const hexadecimal = (character: string): string => character.charCodeAt(0).toString(16);

export const escapeControls = (text: string): string =>
  text.replace(controls, (character) => `\\u{${hexadecimal(character)}}`);

/** What `colour` puts around a text: red, yellow, cyan and back. */
const ownColours = /(\x1b\[3[1369]m)/;

/** Text in a colour where stderr is a terminal and NO_COLOR is not set. */
export function colour(name: 'red' | 'yellow' | 'cyan', text: string): string {
  const wanted = process.stderr.isTTY && !process.env['NO_COLOR'];
  return wanted ? styleText(name, text, { validateStream: false }) : text;
}

/** 61,234 for people. */
export const grouped = (value: number): string => Math.round(value).toLocaleString('en-US');

/** 1 h 02 min, 3 min 20 s or 12 s. */
export function duration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${String(seconds % 60).padStart(2, '0')} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}

/** 12 s, 3 min, 5 h, 2 d. */
export function ageText(ms: number): string {
  if (ms < 3_600_000) return duration(ms).replace(/ min .*/, ' min');
  return ms < 48 * 3_600_000 ? `${Math.round(ms / 3_600_000)} h` : `${Math.round(ms / 86_400_000)} d`;
}
