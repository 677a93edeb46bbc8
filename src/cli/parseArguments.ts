/** Reads the arguments of one command with yargs. */
import type { Options } from 'yargs';
import { wrongInput } from '../errors.ts';
import { withDashedValues, withOptionalValues } from './dashedValues.ts';
import { splitWritten } from './hints/writtenArguments.ts';
import { printWarning } from './terminal/output.ts';
import { nameOf, type Usage } from './usage.ts';

/** A wrong command line: reported with a pointer to the help of the command; exit code 2. */
export class UsageError extends Error {
  /** The command whose help is pointed to; empty for that of the program. */
  readonly command: string;
  constructor(message: string, command: string) {
    super(message);
    this.command = command;
  }
}

/**
 * Calls `handler` with the arguments by their camelCase names.
 *
 * @throws UsageError for arguments that do not fit the usage
 */
export async function parseArguments(
  usage: Usage,
  typed: readonly string[],
  handler: (parsed: Record<string, unknown>) => Promise<void>,
): Promise<void> {
  const { default: yargs } = await import('yargs');
  const written = withOptionalValues(usage, typed);
  const { positionals = {}, options = {} } = usage;
  const name = nameOf(usage);
  const fail = (message: string): never => {
    throw new UsageError(message, name);
  };
  const end = written.includes('--') ? written.indexOf('--') : written.length;
  for (const [i, arg] of written.slice(0, end).entries()) {
    const [, negated, key, value] = /^--(no-)?([^=]+)(?:=(.*))?/s.exec(arg) ?? [];
    const definition = options[key ?? ''];
    if (definition && negated && !isSwitch(definition)) fail(`unknown option "${arg}"`);
    // yargs reads an empty value as the number 0, e.g. that of an unset variable, and any value but true as false.
    if (definition?.type === 'number' && (value ?? written[i + 1]) === '') fail(`--${key} must be a number`);
    if (definition && isSwitch(definition) && value !== undefined && !/^(true|false)$/.test(value))
      fail(`--${key} takes no value, or true or false, not "${value}"`);
  }
  const args = withDashedValues(usage, written, fail);
  if (needsHint(usage, written)) {
    const { optionHint } = await import('./hints/optionHint.ts');
    const hint = optionHint(usage, written);
    if (hint !== undefined) fail(hint);
  }
  // An object, since yargs' types do not know plural forms.
  const texts: object = {
    'Not enough non-option arguments: got %s, need at least %s': plural(
      `missing argument (%s of %s given): clm ${usage.command}`,
    ),
    'Missing required argument: %s': { one: 'missing option: %s', other: 'missing options: %s' },
    'Not enough arguments following: %s': '--%s needs a value',
    'Invalid values:': 'invalid value:',
    'Argument: %s, Given: %s, Choices: %s': '%s is %s, not one of %s',
  };
  await yargs(args)
    .scriptName(`clm ${name}`)
    .locale('en')
    .updateStrings({ ...texts })
    .parserConfiguration({ 'dot-notation': false })
    .version(false)
    .help(false)
    .exitProcess(false)
    .showHelpOnFail(false)
    .fail((message, error) => {
      // Errors are yargs' own, or those of the check below and of the command itself.
      if (error !== undefined && error.name !== 'YError') throw error;
      const line = message.replace(/\s+/g, ' ');
      throw new UsageError(/^missing options?:/.test(line) ? line.replace(/(?<=[:,] )/g, '--') : line, name);
    })
    .check((parsed) => {
      const problem = problemOf(parsed, positionals, options);
      return problem === undefined || fail(problem);
    })
    .command({
      command: usage.command.replace(name, '$0'),
      describe: usage.describe,
      builder: (parser) => {
        for (const [key, definition] of Object.entries(positionals)) parser.positional(key, definition);
        for (const [key, definition] of Object.entries(options))
          parser.option(key, isSwitch(definition) || definition.array ? definition : { ...definition, nargs: 1 });
        return parser;
      },
      handler: async (parsed: Record<string, unknown>) => {
        if (Object.keys(positionals).length > 0) {
          const hint = (await import('./hints/placeHint.ts')).placeHint(usage, written, parsed);
          if (hint !== undefined) throw wrongInput(hint);
        }
        for (const warning of overriddenSets(parsed['set'])) printWarning(warning);
        await handler(parsed);
      },
    })
    .parseAsync();
}

/** Later values of one key of the config override earlier ones, as scripts need it. */
function overriddenSets(set: unknown): string[] {
  if (!Array.isArray(set)) return [];
  const keyOf = (assignment: unknown): string => String(assignment).replace(/=.*$/s, '');
  const last = new Map(set.map((assignment) => [keyOf(assignment), String(assignment)]));
  return set.flatMap((assignment: string) => {
    const later = last.get(keyOf(assignment))!;
    return later === assignment ? [] : [`--set ${assignment} has no effect, because --set ${later} follows`];
  });
}

const plural = (text: string) => ({ one: text, other: text });

const isSwitch = (definition: Options): boolean => definition.type === 'boolean';

/** Unknown options, options given twice, and whatever else yargs itself would accept. */
function problemOf(
  parsed: { readonly [name: string]: unknown; readonly _: readonly (string | number)[] },
  positionals: object,
  options: Readonly<Record<string, Options>>,
): string | undefined {
  const empty = Object.keys(positionals).find((name) => parsed[name] === '');
  if (empty !== undefined) return `argument "${empty}" is empty`;
  const [extra] = parsed._;
  if (extra !== undefined) return `unexpected argument "${extra}"`;
  const names = Object.keys(options);
  const known = new Set([...names, ...Object.keys(positionals), '_', '$0']);
  for (const name of names) {
    known.add(name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase()));
    if (options[name]!.alias !== undefined) known.add(String(options[name]!.alias));
  }
  const unknown = Object.keys(parsed).find((name) => !known.has(name));
  if (unknown !== undefined) return `unknown option "${dashed(unknown)}"`; // what hints/ does not see, e.g. -ix
  for (const name of names) {
    const { type, array, nargs } = options[name]!;
    const value = parsed[name];
    if (Array.isArray(value) && !array) return `--${name} is given twice`;
    if (Array.isArray(value) && value.length === 0 && !nargs) return `--${name} needs a value`;
    if (type === 'number' && [value].flat().some(Number.isNaN)) return `--${name} must be a number`;
  }
  return undefined;
}

/** Whether there is an option or an argument that the command does not have. */
function needsHint(usage: Usage, written: readonly string[]): boolean {
  const kinds = splitWritten(usage, written).map(({ kind }) => kind);
  const most = Object.keys(usage.positionals ?? {}).length;
  return kinds.includes('unknown') || kinds.filter((kind) => kind === 'argument').length > most;
}

const dashed = (name: string): string => (name.length === 1 ? `-${name}` : `--${name}`);
