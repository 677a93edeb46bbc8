/** The arguments of a command as they were written, piece by piece, so that a proposed command can change some. */
import { shellWord } from '../../shellWord.ts';
import { nameOf, type Usage } from '../usage.ts';

export interface WrittenPiece {
  /** `unknown`: an option that the command does not have. */
  kind: 'argument' | 'option' | 'unknown';
  /** Of an option, without dashes. */
  name: string;
  /** The argument, or the value of an option; undefined without one. */
  value: string | undefined;
  /** As written. */
  words: readonly string[];
}

const isOption = (word: string): boolean => /^--?[a-zA-Z]/.test(word);

/** An option without a known arity takes the next word as its value, unless that is an option. */
export function splitWritten({ options = {} }: Usage, written: readonly string[]): WrittenPiece[] {
  const byName = new Map<string, (typeof options)[string]>();
  for (const [name, definition] of Object.entries(options))
    for (const each of [name, camelCase(name), ...[definition.alias ?? []].flat()]) byName.set(each, definition);
  const pieces: WrittenPiece[] = [];
  for (let at = 0; at < written.length; ) {
    const word = written[at]!;
    if (word === '--') {
      for (const rest of written.slice(at + 1)) pieces.push(argument(rest));
      break;
    }
    if (!isOption(word)) {
      pieces.push(argument(word));
      at++;
      continue;
    }
    const [, name = '', value] = /^--?([^=]+)(?:=(.*))?$/s.exec(word)!;
    const definition = byName.get(name) ?? byName.get(name.replace(/^no-/, ''));
    const takes =
      value !== undefined ? 0 : definition ? arity(definition, written.slice(at + 1)) : guess(written[at + 1]);
    const words = written.slice(at, at + 1 + takes);
    pieces.push({ kind: definition ? 'option' : 'unknown', name, value: value ?? words[1], words });
    at += words.length;
  }
  return pieces;
}

const argument = (word: string): WrittenPiece => ({ kind: 'argument', name: '', value: word, words: [word] });

const camelCase = (name: string): string => name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());

/** The number of words that follow an option of the command. */
function arity(definition: NonNullable<Usage['options']>[string], rest: readonly string[]): number {
  if (definition.type === 'boolean') return 0;
  if (definition.array !== true || definition.nargs === 1) return 1;
  const end = rest.findIndex(isOption);
  return end < 0 ? rest.length : end;
}

const guess = (next: string | undefined): number => (next === undefined || isOption(next) ? 0 : 1);

/** The command with these words, as one can paste it into a shell. */
export const commandLine = (usage: Usage | string, words: readonly string[]): string =>
  ['clm', typeof usage === 'string' ? usage : nameOf(usage), ...words.map(shellWord)].join(' ');
