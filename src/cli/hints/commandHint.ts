/** What to say of a command that there is not: the same line with the command that is meant, if it is plain. */
import { meaningIn } from '../../config/sections/otherNames.ts';
import { nearest } from './nearest.ts';
import { commandNames } from './otherNames.ts';
import { commandLine } from './writtenArguments.ts';

/**
 * `; did you mean: clm train my.yaml`, or nothing.
 * @param args all arguments; `args[at]` is the unknown word
 * @param names of all commands, e.g. `runs show`
 * @param family the word before it, if that begins the names of several commands
 */
export function commandHint(args: readonly string[], at: number, names: readonly string[], family?: string): string {
  const word = args[at]!;
  const known = family === undefined ? names : names.filter((name) => name.startsWith(`${family} `));
  const asWritten = family === undefined ? word : `${family} ${word}`;
  const other = family === undefined ? meaningIn(commandNames, word) : undefined;
  const meant = [...(other === undefined ? [] : [other]), ...known.filter((name) => name.endsWith(` ${word}`))];
  const [first] = meant.length > 0 ? meant : nearest(asWritten, known);
  const words = [...args.slice(0, at - (family === undefined ? 0 : 1)), ...args.slice(at + 1)];
  if (first === undefined || (first.endsWith('--run') && words.length === 0)) return '';
  return `; did you mean: ${commandLine(first, words)}`;
}
