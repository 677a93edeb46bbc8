/** The help page of one command, made from its usage without yargs, which takes as long to load as Node to start. */
import type { Options } from 'yargs';
import type { Usage } from './usage.ts';

/** @param columns width of the terminal @param seeAlso a last line, or empty */
export function helpPage(usage: Usage, columns: number, seeAlso: string): string {
  const { positionals = {}, options = {}, describe, examples } = usage;
  const help: readonly [string, Options] = ['help', { alias: 'h', type: 'boolean', describe: 'Show this page' }];
  const sections: readonly [string, Row[]][] = [
    ['Arguments', Object.entries(positionals).map(([name, { describe = '' }]) => [name, describe])],
    [
      'Options',
      [help, ...Object.entries(options)].map(([name, option]) => [spelling(name, option), explained(option)]),
    ],
    ['Examples', examples.map(([command, explanation]) => [command, explanation])],
  ];
  const parts = sections.filter(([, rows]) => rows.length > 0);
  const blocks = parts.map(([title, rows]) => [`${title}:`, ...aligned(rows, columns)].join('\n'));
  const command = `clm ${usage.command}${Object.keys(options).length > 0 ? ' [options]' : ''}`;
  const text = (words: string): string => wrapped(words, columns).join('\n');
  return [command, text(describe), ...blocks, ...(seeAlso === '' ? [] : [text(seeAlso)])].join('\n\n');
}

/** What is described, and its description. */
type Row = readonly [subject: string, text: string];

/** `-i, --interactive`, `    --top-k N` or `    --order input|completed` */
function spelling(name: string, { alias, choices, type }: Options): string {
  const value = choices?.join('|') ?? { number: 'N', boolean: '', string: 'VALUE' }[type as string] ?? '';
  return `${alias === undefined ? '   ' : `-${String(alias)},`} --${name} ${value}`.trimEnd();
}

/** A description, with the default unless it says one already. */
function explained({ describe = '', demandOption, default: standard }: Options): string {
  if (standard !== undefined && standard !== false && !Array.isArray(standard))
    return `${describe} (default: ${String(standard)})`;
  return demandOption ? `${describe} (required)` : describe;
}

/** Descriptions in a column of their own, or below a subject that is longer than the others. */
function aligned(rows: readonly Row[], columns: number): string[] {
  const longest = Math.min(26, Math.floor(columns / 3));
  const indent = 4 + Math.max(0, ...rows.map(([subject]) => subject.length).filter((length) => length <= longest));
  return rows.flatMap(([subject, text]) => {
    const lines = wrapped(text, Math.max(20, columns - indent)).map((line) => ' '.repeat(indent) + line);
    const first = `  ${subject}`;
    if (first.length + 2 > indent) return [first, ...lines];
    return [first.padEnd(indent) + (lines[0] ?? '').slice(indent), ...lines.slice(1)].map((line) => line.trimEnd());
  });
}

/** Breaks a text between words into lines of at most `width` characters. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
