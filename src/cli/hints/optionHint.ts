/**
 * What to say of an option that a command does not have: the same command in clm's words, ready to be pasted, if it is
 * plain what is meant. Loaded only when that happens, for it needs the config schema.
 */
import { z } from 'zod';
import { leafKeys, schemaAt } from '../../config/keys.ts';
import { parseKeyPath, plainValue, renderKeyPath } from '../../config/located.ts';
import { parseOverride } from '../../config/overrides.ts';
import { folded, keyNames, meaningIn } from '../../config/sections/otherNames.ts';
import type { Usage } from '../usage.ts';
import { nearest } from './nearest.ts';
import { argumentNames, optionNames, remarks, valueNames } from './otherNames.ts';
import { commandLine, splitWritten, type WrittenPiece } from './writtenArguments.ts';

/** What an option is here. */
interface Meaning {
  /** The key or option, as one would write it. */
  name: string;
  /** The words that replace what was written; undefined if its value will not do. */
  words: readonly string[] | undefined;
}

/** The message for the first option that the command does not have; undefined if it has all of them. */
export function optionHint(usage: Usage, written: readonly string[]): string | undefined {
  const { problem, words } = corrected(usage, written) ?? {};
  return words === undefined ? problem : `${problem}; did you mean: ${commandLine(usage, words)}`;
}

/**
 * What is wrong with the arguments, and the ones that are meant, if that is plain; undefined if the command has all.
 */
export function corrected(
  usage: Usage,
  written: readonly string[],
): { problem: string; words?: readonly string[] } | undefined {
  const pieces = splitWritten(usage, written);
  const argumentCount = pieces.filter(({ kind }) => kind === 'argument').length;
  const hasRoom = argumentCount < Object.keys(usage.positionals ?? {}).length;
  const meanings = pieces.map((piece) => (piece.kind === 'unknown' ? meaningOf(piece, usage, hasRoom) : undefined));
  const unknown = pieces.filter(({ kind }) => kind === 'unknown');
  if (unknown.length === 0) return extraHint(usage, pieces);
  const first = pieces.findIndex(({ kind }, i) => kind === 'unknown' && meanings[i]?.words === undefined);
  const at = first < 0 ? pieces.indexOf(unknown[0]!) : first;
  const problem = `unknown option "${pieces[at]!.words[0]!.replace(/=.*/s, '')}"`;
  const remark = meaningIn(remarks, pieces[at]!.name);
  if (remark !== undefined) return { problem: `${problem}; ${remark}` };
  const meaning = meanings[at];
  if (meaning === undefined) return { problem };
  if (first >= 0) return { problem: `${problem}; did you mean ${meaning.name}?` };
  return { problem, words: pieces.flatMap((piece, i) => meanings[i]?.words ?? piece.words) };
}

/** By the command's own names, then by those that other programs use, then by what is nearest. */
function meaningOf(piece: WrittenPiece, usage: Usage, hasRoom: boolean): Meaning | undefined {
  const { options = {}, positionals = {} } = usage;
  const { name } = piece;
  if (meaningIn(remarks, name) !== undefined) return undefined;
  const names = Object.keys(options);
  const isNamed = (own: string): boolean => folded(own) === folded(name);
  const option = names.find(isNamed) ?? meaningIn(among(optionNames, names), name);
  if (option !== undefined) return asOption(option, piece, usage);
  const taken = Object.keys(positionals);
  const argument = hasRoom ? (taken.find(isNamed) ?? meaningIn(among(argumentNames, taken), name)) : undefined;
  if (argument !== undefined) return asArgument(argument, piece);
  const takesKeys = 'set' in options;
  const key = takesKeys ? keyOf(name.replace(/^no-/, '')) : undefined;
  if (key !== undefined) return asKey(key, piece);
  const [near] = nearest(name, names, folded);
  if (near !== undefined) return asOption(near, piece, usage);
  const [nearKey] = takesKeys ? nearest(name, lastNames(), folded) : [];
  return nearKey === undefined ? undefined : asKey(keyOf(nearKey)!, piece);
}

const among = (table: Readonly<Record<string, string>>, names: readonly string[]): Record<string, string> =>
  Object.fromEntries(Object.entries(table).filter(([own]) => names.includes(own)));

/** The config key of that path, of that name elsewhere, or the only one of that name. */
function keyOf(name: string): string | undefined {
  const path = parseKeyPath(name);
  if (path !== undefined && path.length > 1 && schemaAt(path) !== undefined) return name;
  const other = meaningIn(keyNames, name);
  if (other !== undefined) return other;
  const named = leafKeys()
    .map(renderKeyPath)
    .filter((key) => folded(lastOf(key)) === folded(name));
  const whole = leafKeys()
    .map(renderKeyPath)
    .filter((key) => folded(key) === folded(name));
  return [whole, named].find((keys) => keys.length === 1)?.[0];
}

const lastOf = (key: string): string => key.slice(key.lastIndexOf('.') + 1);

/** Names by which `keyOf` finds a key. */
const lastNames = (): string[] =>
  [
    ...leafKeys().map((path) => String(path.at(-1))),
    ...Object.values(keyNames).flatMap((names) => names.split(' ')),
  ].filter((name) => name.length > 3 && keyOf(name) !== undefined);

function asKey(key: string, { name, value: written }: WrittenPiece): Meaning {
  const assignment = (value: string): string => `${key}=${value}`;
  const described = `--set ${key}=…`;
  const text = written ?? (name.startsWith('no-') ? 'false' : 'true');
  const value = spelt(key, text);
  return { name: described, words: isValid(assignment(value)) ? ['--set', assignment(value)] : undefined };
}

/** The value as it is spelt here, e.g. true for Python's True. */
function spelt(key: string, text: string): string {
  const plain = text.replace(/^(True|False)$/, (word) => word.toLowerCase()).replace(/^None$/, 'null');
  return valueNames[key]?.find(([pattern]) => pattern.test(plain))?.[1] ?? plain;
}

function isValid(assignment: string): boolean {
  try {
    const { path, value } = parseOverride(assignment);
    const schema = schemaAt(path);
    return schema !== undefined && z.safeParse(schema, plainValue(value)).success;
  } catch {
    return false;
  }
}

function asOption(name: string, { value }: WrittenPiece, { options = {} }: Usage): Meaning {
  const { type, choices } = options[name]!;
  if (type === 'boolean')
    return { name: `--${name}`, words: value === undefined || isTrue(value) ? [`--${name}`] : undefined };
  const fits =
    value !== undefined &&
    (type !== 'number' || (value !== '' && !Number.isNaN(Number(value)))) &&
    (choices === undefined || choices.includes(value));
  return { name: `--${name}`, words: fits ? [`--${name}`, value] : undefined };
}

const isTrue = (value: string): boolean => /^(true|1|yes)$/i.test(value);

const asArgument = (name: string, { value }: WrittenPiece): Meaning => ({
  name: `the argument ${name}, without an option`,
  words: value === undefined ? undefined : [value],
});

/** A value that looks like an option is only taken in one word with its own. */
const withValue = (name: string, value: string): string[] =>
  value.startsWith('-') ? [`--${name}=${value}`] : [`--${name}`, value];

/** More arguments than the command takes: assignments without `--set`, a prompt or a text without its option. */
function extraHint(usage: Usage, pieces: readonly WrittenPiece[]): ReturnType<typeof corrected> {
  const { positionals = {}, options = {} } = usage;
  if (Object.values(positionals).some(({ array }) => array === true)) return undefined;
  const most = Object.keys(positionals).length;
  const extra = pieces.filter(({ kind }) => kind === 'argument').slice(most);
  if (extra.length === 0) return undefined;
  const written = extra.map(({ value }) => value!);
  const problem = `unexpected argument "${written[0]}"`;
  const others = pieces.filter((piece) => !extra.includes(piece)).flatMap(({ words }) => words);
  const proposed = (words: readonly string[]) => ({ problem, words: [...others, ...words] });
  if ('set' in options && written.every((word) => word.includes('=') && isValid(word)))
    return proposed(written.flatMap((word) => ['--set', word]));
  if ('prompt' in options && !('set' in options)) return proposed(withValue('prompt', written.join(' ')));
  if (most === 0 && written.length === 1 && 'text' in options) return proposed(withValue('text', written[0]!));
  return undefined;
}
