/** What to say of a command that there is not: the same line with the command that is meant, if it is plain. */
import { meaningIn } from '../../config/sections/otherNames.ts';
import { nameOf, type Usage } from '../usage.ts';
import { nearest } from './nearest.ts';
import { commandNames } from './otherNames.ts';
import { commandLine, splitWritten } from './writtenArguments.ts';

/** What is known of the commands. */
interface Known {
  /** Names that may be meant, e.g. `runs show`. */
  names: readonly string[];
  usages: readonly Usage[];
}

/**
 * `; did you mean: clm train my.yaml`, or, if more than the name is wrong, `; did you mean clm train? …`; or nothing.
 * @param args all arguments; `args[at]` is the unknown word
 * @param family the word before it, if that begins the names of several commands
 */
export async function commandHint(
  args: readonly string[],
  at: number,
  { names, usages }: Known,
  family?: string,
): Promise<string> {
  const word = args[at]!;
  const known = family === undefined ? names : names.filter((name) => name.startsWith(`${family} `));
  const asWritten = family === undefined ? word : `${family} ${word}`;
  const other = family === undefined ? meaningIn(commandNames, word) : undefined;
  const meant = [...(other === undefined ? [] : [other]), ...known.filter((name) => name.endsWith(` ${word}`))];
  const [first] = meant.length > 0 ? meant : nearest(asWritten, known);
  const words = [...args.slice(0, at - (family === undefined ? 0 : 1)), ...args.slice(at + 1)];
  if (first === undefined || (first.endsWith('--run') && words.length === 0)) return '';
  const [name = '', ...flags] = first.split(/ (?=--)/);
  const usage = usages.find((each) => nameOf(each) === name);
  const all = [...flags, ...words];
  if (usage === undefined) return `; did you mean: ${commandLine(first, words)}`;
  if (words.some((word) => word === '--help' || word === '-h')) return `; did you mean: clm ${name} --help`;
  const { corrected } = await import('./optionHint.ts');
  const { problem, words: right = problem === undefined ? all : undefined } = corrected(usage, all) ?? {};
  if (right === undefined) return `; did you mean clm ${name}? But: ${problem}`;
  const missing = missingIn(usage, right);
  if (missing.length > 0) return `; did you mean clm ${name}? It needs ${missing.join(' and ')}`;
  return `; did you mean: ${commandLine(usage, right)}`;
}

/** Arguments and options that the command cannot do without. */
function missingIn(usage: Usage, words: readonly string[]): string[] {
  const pieces = splitWritten(usage, words);
  const given = pieces.filter(({ kind }) => kind === 'argument').length;
  const places = usage.command.match(/<[^>]+>/g) ?? [];
  const options = Object.entries(usage.options ?? {}).filter(
    ([option, { demandOption }]) => demandOption === true && !pieces.some(({ name }) => name === option),
  );
  return [...places.slice(given), ...options.map(([option]) => `--${option}`)];
}
