/** Where text goes: results to stdout, everything else to stderr, in colour only if a terminal wants it. */
import { styleText } from 'node:util';
import { wantsColour } from './abilities.ts';
import { aboveLive } from './liveLine.ts';
import { writeTo } from './streams.ts';

/** Lines of results; see `harmless`. */
export const printResult = (text: string): boolean => printPart(`${text}\n`);

/** A piece of a result, without a line end of its own; see `harmless`. */
export const printPart = (text: string): boolean => aboveLive(() => writeTo('stdout', harmless(text)));

/** Lines of results that hold clm's own colours. The caller has escaped what comes from a model, corpus or path. */
export const printPainted = (text: string): boolean => aboveLive(() => writeTo('stdout', `${text}\n`));

/** One JSON object per line, for scripts; on a terminal control characters are escaped. */
export const printJson = (value: unknown): boolean => {
  const text = JSON.stringify(value);
  const escaped = process.stdout.isTTY
    ? text.replace(controls, (character) => `\\u${hexadecimal(character).padStart(4, '0')}`)
    : text;
  return aboveLive(() => writeTo('stdout', `${escaped}\n`));
};

/**
 * The last line of a command whose result is a number or a verdict, for scripts that read its text: `result: ` and
 * key=value pairs with the names of the JSON output; numbers to six digits, texts quoted if they hold spaces.
 */
export const printFinal = (values: Readonly<Record<string, string | number | boolean | null | undefined>>): boolean => {
  const pairs = Object.entries(values).flatMap(([key, value]) => {
    if (value === null || value === undefined) return [];
    if (typeof value === 'number' && !Number.isInteger(value)) return [`${key}=${Number(value.toPrecision(6))}`];
    return [`${key}=${typeof value === 'string' && /[\s"=]/.test(value) ? JSON.stringify(value) : value}`];
  });
  return printResult(`result: ${pairs.join(' ')}`);
};

/** Lines for people, on stderr. On a terminal only clm's own colours pass, since names and paths may be anybody's. */
export const note = (text: string): boolean => {
  const shown = process.stderr.isTTY
    ? text
        .split(ownColours)
        .map((part, i) => (i % 2 === 0 ? escapeControls(part) : part))
        .join('')
    : text;
  return aboveLive(() => writeTo('stderr', `${shown}\n`));
};

export const printError = (message: string): boolean => note(`${colour('red', 'error')}: ${message}`);
export const printWarning = (message: string): boolean => note(warningText(message));
export const warningText = (message: string): string => `${colour('yellow', 'warning')}: ${message}`;

/**
 * Text from a model or a corpus for a stream. On a terminal its control characters, which could move the cursor, set
 * the title or paste into the shell, are shown as e.g. \u{1b}, except line ends and tabs. A pipe gets the text as is.
 */
export const harmless = (text: string, stream: { isTTY?: boolean } = process.stdout): string =>
  stream.isTTY ? escapeControls(text) : text;

/**
 * C0 except tab and line feed, DEL, C1, and the marks that change the writing direction (https://trojansource.codes).
 */
const controls = /[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g;

const hexadecimal = (character: string): string => character.charCodeAt(0).toString(16);

export const escapeControls = (text: string): string =>
  text.replace(controls, (character) => `\\u{${hexadecimal(character)}}`);

/** What `colour` puts around a text: red, yellow, cyan and back. */
const ownColours = /(\x1b\[3[1369]m)/;

/** Text in a colour if stderr is a terminal that wants it. */
export const colour = (name: 'red' | 'yellow' | 'cyan', text: string): string =>
  wantsColour(process.stderr) ? styleText(name, text, { validateStream: false }) : text;

/** The same for stdout; print it with `printPainted`. */
export const paint = (name: (typeof paints)[number], text: string): string =>
  wantsColour(process.stdout) ? styleText(name, text, { validateStream: false }) : text;

/** Colours that are told apart on a dark and on a light background. */
export const paints = ['cyan', 'yellow', 'magenta', 'green', 'blue', 'red'] as const;

/** A rounded number for people, e.g. 61,234. */
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
  if (ms < 3_600_000) return duration(Math.max(0, ms)).replace(/ min .*/, ' min');
  return ms < 48 * 3_600_000 ? `${Math.round(ms / 3_600_000)} h` : `${Math.round(ms / 86_400_000)} d`;
}
