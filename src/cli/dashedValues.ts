/** Arguments in a form that yargs does not misread: values that begin with a dash, and values that are left out. */
import { shellWord } from '../shellWord.ts';
import type { Usage } from './usage.ts';

/** `-x`, `--name` or `--name=…`: as a value, as likely a slip (a value forgotten) as a text. */
const optionLike = /^--?[a-zA-Z][\w-]*(=.*)?$/s;

/**
 * An option and its value become one argument, `--prompt '- milk'` to `--prompt=- milk`. What stands after `--` is an
 * argument even if it begins with a dash; all arguments are paths, so that `-x` becomes `./-x`.
 *
 * @param fail called with a message if a value looks like an option; a user can write --name=VALUE then
 */
export function withDashedValues(
  { options = {} }: Usage,
  args: readonly string[],
  fail: (message: string) => never,
): string[] {
  const end = args.includes('--') ? args.indexOf('--') : args.length;
  const before = args.slice(0, end);
  const joined: string[] = [];
  for (let i = 0; i < before.length; i++) {
    const arg = before[i]!;
    const value = before[i + 1];
    const definition = arg.startsWith('--') ? options[arg.slice(2)] : undefined;
    if (definition === undefined || definition.type === 'boolean' || !value?.startsWith('-') || value === '-') {
      joined.push(arg);
      continue;
    }
    if (optionLike.test(value))
      fail(`${arg} needs a value. If ${shellWord(value)} is meant as its value: ${arg}=${shellWord(value)}`);
    joined.push(`${arg}=${value}`);
    i++;
  }
  return [...joined, ...args.slice(end + 1).map((arg) => (arg.startsWith('-') && arg !== '-' ? `./${arg}` : arg))];
}

/** An option whose value may be left out, and is, gets the one that stands for it: `--measure` to `--measure=20s`. */
export function withOptionalValues({ optionalValues = {} }: Usage, args: readonly string[]): string[] {
  const end = args.includes('--') ? args.indexOf('--') : args.length;
  return args.map((arg, i) => {
    const optional = i < end && arg.startsWith('--') ? optionalValues[arg.slice(2)] : undefined;
    const isLeftOut = optional !== undefined && !(i + 1 < end && optional.looksLike.test(args[i + 1]!));
    return isLeftOut ? `${arg}=${optional.otherwise}` : arg;
  });
}
