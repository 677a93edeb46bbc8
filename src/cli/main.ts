/** The program, as bin/clm.mjs starts it: finds the command, runs it, reports how it ended. Only this file exits. */
import { closeSync, readFileSync } from 'node:fs';
import { isatty } from 'node:tty';
import { ExpectedError } from '../errors.ts';
import { removeOnSignals } from '../storage/temporaryPaths.ts';
import { commands, overview, type Command } from './commands.ts';
import { helpPage } from './helpPage.ts';
import { commandHint } from './hints/commandHint.ts';
import { parseArguments, UsageError } from './parseArguments.ts';
import { isHangupIgnored } from './surroundings.ts';
import { showInstallationNotices } from './terminal/installationNotices.ts';
import { note, printError, printResult } from './terminal/output.ts';
import { watchStreams } from './terminal/streams.ts';
import { stdoutWidth } from './terminal/table.ts';
import { nameOf } from './usage.ts';

async function run(args: readonly string[]): Promise<void> {
  if (args.length === 0) {
    note(overview());
    process.exitCode = 2; // a script that calls clm without a command has a mistake
    return;
  }
  if (args[0] === 'help') return run([...args.slice(1), '--help']);
  if (args[0] === '--help' || args[0] === '-h') return void printResult(overview());
  if (asksFor(['--version'], args)) return void printResult(version());
  const found = await findCommand(args);
  if (typeof found === 'string') return void printResult(overview(found));
  const { command, rest } = found;
  const inner = commands.filter((each) => nameOf(each).startsWith(`${nameOf(command)} `));
  const seeAlso = inner.length === 0 ? '' : `See also: ${inner.map((each) => `clm ${nameOf(each)}`).join(', ')}`;
  if (asksFor(['--help', '-h'], rest))
    return void printResult(helpPage(command, Math.min(100, stdoutWidth()), seeAlso));
  showInstallationNotices(asksFor(['--quiet'], rest));
  await parseArguments(command, rest, command.run);
}

/** Whether one of `words` is among the options, not the value of one (`--prompt --version`) nor after `--`. */
function asksFor(words: readonly string[], args: readonly string[]): boolean {
  const takesValue = (arg = ''): boolean =>
    commands.some(({ options = {} }) => {
      const definition = arg.startsWith('--') ? options[arg.slice(2)] : undefined;
      return definition !== undefined && definition.type !== 'boolean';
    });
  const options = args.includes('--') ? args.slice(0, args.indexOf('--')) : args;
  return options.some((arg, i) => words.includes(arg) && !takesValue(options[i - 1]));
}

function version(): string {
  const file = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(file) as { version: string }).version;
}

/**
 * The command that is named, and the arguments without its words. Options may also precede the command.
 *
 * @returns only its first word for `--help` of a family of commands, e.g. `clm tokenizer --help`
 * @throws UsageError if no command is named, or an unknown one
 */
async function findCommand(args: readonly string[]): Promise<{ command: Command; rest: string[] } | string> {
  const names = commands.map(nameOf);
  const firstWords = [...new Set(names.map((name) => name.split(' ')[0]!))];
  const families = firstWords.filter((word) => !names.includes(word));
  const at = args[0]?.startsWith('-') ? args.findIndex((arg) => firstWords.includes(arg)) : 0;
  const first = args[at];
  if (first === undefined) throw new UsageError(`missing command: "${args[0]}" is an option, and follows it`, '');
  if (!firstWords.includes(first)) {
    const hint = await commandHint(args, at, { names: [...names, ...families], usages: commands });
    throw new UsageError(`unknown command "${first}"${hint}`, '');
  }
  const [before, after] = [args.slice(0, at), args.slice(at + 1)];
  const own = commands.find((each) => nameOf(each) === first);
  const second = after.findIndex((arg) => names.includes(`${first} ${arg}`));
  // `clm runs show RUN` is the command runs show, but in `clm runs --name show` the word is the value of an option.
  const inner = own && second > 0 ? undefined : commands.find((each) => nameOf(each) === `${first} ${after[second]}`);
  if (inner) return { command: inner, rest: [...before, ...after.slice(0, second), ...after.slice(second + 1)] };
  if (own) return { command: own, rest: [...before, ...after] };
  if (asksFor(['--help', '-h'], args)) return first;
  const family = names.filter((name) => name.startsWith(`${first} `));
  const word = after.find((arg) => !arg.startsWith('-'));
  const problem = word === undefined ? `missing command after "${first}"` : `unknown command "${first} ${word}"`;
  const known = { names: family, usages: commands };
  const meant = word === undefined ? '' : await commandHint(args, args.indexOf(word, at + 1), known, first);
  throw new UsageError(`${problem}${meant || `; choose ${family.join(', ')}`}`, first);
}

/** The end of the process: a message if the failure is expected, with a stack if it is a bug. */
function fail(error: unknown): never {
  if (error instanceof ExpectedError) {
    if (!error.isSaid) printError(error.message);
    process.exit(error.exitCode);
  }
  if (error instanceof UsageError) {
    printError(`${error.message}\nSee: clm ${error.command}${error.command === '' ? '' : ' '}--help`);
    process.exit(2);
  }
  printError(`This is a bug in clm: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  process.exit(1);
}

removeOnSignals();
watchStreams(fail);

// Node has made SIGHUP end the process again, though nohup had it ignored.
if (isHangupIgnored()) process.on('SIGHUP', () => {});

// At exit, Node 20 restores the settings of its terminals, and aborts if one has gone (SIGHUP) and is still open.
const terminals = [0, 1, 2].filter((descriptor) => isatty(descriptor));
process.on('exit', () => {
  for (const descriptor of terminals) if (!isatty(descriptor)) closeSync(descriptor);
});

run(process.argv.slice(2)).then(() => {
  // After a stop, abandoned work (e.g. a pass over the corpus) would keep the process alive.
  if (process.exitCode !== undefined) process.exit();
}, fail);
