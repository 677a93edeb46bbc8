/**
 * What is wrong with a command line, said in terms of the command that was meant; the parser's own words are its
 * jargon.
 */
import { closest, distance } from 'fastest-levenshtein';
import type { DescribedCommand } from './describeCommands.ts';

/** Bad usage: reported with a pointer to the help of the command, exit code 2. */
export class UsageError extends Error {}

/** The subcommand that the arguments name, or the command itself. */
export function meantCommand(command: DescribedCommand, args: readonly string[]): DescribedCommand {
  const words = args.filter((arg) => !arg.startsWith('-'));
  return command.commands.find(({ usage }) => usage.split(' ')[1] === words[1]) ?? command;
}

/** The option that ends the line, or stands before another option, without the value it takes. */
export function optionWithoutValue(
  { options, commands }: DescribedCommand,
  args: readonly string[],
): string | undefined {
  const taking = [...options, ...commands.flatMap((inner) => inner.options)].filter(
    ({ takesValue, isPositional }) => takesValue && !isPositional,
  );
  const end = args.includes('--') ? args.indexOf('--') : args.length;
  return args.slice(0, end).find((arg, i) => {
    const isValueMissing = i + 1 >= args.length || args[i + 1]!.startsWith('--');
    return isValueMissing && taking.some(({ name }) => arg === `--${name}`);
  });
}

/** The switch that is given another value than true or false, which the parser would take for false. */
export function switchWithValue({ options, commands }: DescribedCommand, args: readonly string[]): string | undefined {
  const switches = [...options, ...commands.flatMap((inner) => inner.options)].filter(
    ({ takesValue, isPositional }) => !takesValue && !isPositional,
  );
  return args.find((arg) => switches.some(({ name }) => arg.startsWith(`--${name}=`) && !/=(true|false)$/.test(arg)));
}

/** The parser's complaint as a sentence that names the option or argument and what may stand there. */
export function usageProblem(message: string, command: DescribedCommand): string {
  if (message.startsWith('Not enough non-option arguments')) return `An argument is missing: clm ${command.usage}`;
  const unknown = /^Unknown arguments?: (.+)$/.exec(message)?.[1]?.split(', ');
  if (unknown) return unknownOption(unknown[0]!, command);
  const missing = /^Missing required arguments?: (.+)$/.exec(message)?.[1]?.split(', ');
  if (missing) return `clm ${nameOf(command)} needs ${missing.map((name) => `--${name}`).join(', ')}`;
  const [, name, given, choices] = /^Invalid values:\s+Argument: (\S+), Given: (.+), Choices: (.+)/.exec(message) ?? [];
  if (name === undefined) return message;
  const isPositional = command.options.some((option) => option.isPositional && option.name === name);
  return `${isPositional ? '' : `--${name} `}${given} is none of ${choices}`;
}

function unknownOption(name: string, command: DescribedCommand): string {
  const options = command.options.filter(({ isPositional }) => !isPositional).map((option) => option.name);
  const subcommands = command.commands.map(({ usage }) => `clm ${usage}`).join(', ');
  const meant = suggestion(name, options, '--') || (subcommands && `; there is ${subcommands}`);
  return `clm ${nameOf(command)} does not know ${name}${meant}`;
}

/** What to say of a first word that is none of the commands. */
export const unknownCommand = (word: string, commands: readonly string[]): string =>
  `${word} is no command${suggestion(word, commands)}`;

function suggestion(word: string, known: readonly string[], prefix = ''): string {
  const nearest = known.length === 0 ? undefined : closest(word, known);
  const isNear = nearest !== undefined && distance(word, nearest) <= Math.max(2, word.length / 3);
  return isNear ? `; did you mean ${prefix}${nearest}?` : '';
}

const nameOf = ({ usage }: DescribedCommand): string => usage.split(/ [<[]/)[0]!;
