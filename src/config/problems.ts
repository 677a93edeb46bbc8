/** The problems the schema found, as messages for users: where, which key, the value required, the value found. */
import type { z } from 'zod';
import { ConfigError } from '../errors.ts';
import { isNullable, isWholeNumber, schemaAt, suggestKey } from './keys.ts';
import { location, originOf, renderKeyPath, valueAt } from './located.ts';
import type { KeyPath, LocatedValue, Origin } from './located.ts';

/** Something wrong at a key of a config. */
export interface Problem {
  origin: Origin;
  message: string;
}

/** A message for each issue the schema found. */
export function schemaProblems(issues: readonly z.core.$ZodIssue[], tree: LocatedValue): Problem[] {
  const seen = new Set<string>();
  return issues.flatMap((issue): Problem[] => {
    const path = issue.path as KeyPath;
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((name) => {
        const hint = suggestKey(path, name.replace(/[^!-~]/gu, '') || name);
        const message = `${renderKeyPath([...path, name])} is not a config key${unusual(name)}; ${hint}`;
        return { origin: keyOrigin(tree, path, name), message };
      });
    }
    const key = renderKeyPath(path);
    // A number can be both fractional and out of range: one message per key is enough.
    if (seen.has(key)) return [];
    seen.add(key);
    return [{ origin: originOf(tree, path), message: issueMessage(issue, path, valueAt(tree, path)) }];
  });
}

/** A ConfigError with one line per problem; those of one file in the order of its lines. */
export function problemsError(problems: readonly Problem[]): ConfigError {
  const sources = [...new Set(problems.map(({ origin }) => origin.source))];
  const rank = (origin: Origin) => sources.indexOf(origin.source);
  const sorted = [...problems].sort(
    ({ origin: a }, { origin: b }) =>
      rank(a) - rank(b) || (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0),
  );
  return new ConfigError(sorted.map(({ origin, message }) => `${location(origin)}: ${message}`).join('\n'));
}

const names: Readonly<Record<string, string>> = {
  ' ': 'space',
  '\u00a0': 'no-break space',
  '\u00ad': 'soft hyphen',
  '\u200b': 'zero-width space',
  '\u202f': 'narrow no-break space',
  '\u3000': 'ideographic space',
  '\ufeff': 'byte order mark',
};

/** Keys are ASCII. Any other character is named, since it is often invisible or looks like an ASCII one. */
function unusual(key: string): string {
  const [character] = /[^!-~]/u.exec(key) ?? [];
  if (character === undefined) return '';
  const code = `U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}`;
  const isSeen = /[\p{L}\p{N}\p{P}\p{S}]/u.test(character);
  const shownAs = names[character] ?? (isSeen ? character : undefined);
  const position = key.startsWith(character) ? 'begins with' : 'contains';
  return `: it ${position} the character ${code}${shownAs === undefined ? '' : ` (${shownAs})`}`;
}

function keyOrigin(tree: LocatedValue, parent: KeyPath, name: string): Origin {
  const mapping = valueAt(tree, parent);
  const entry = mapping?.kind === 'mapping' ? mapping.entries.get(name) : undefined;
  return entry?.keyOrigin ?? originOf(tree, parent);
}

function issueMessage(issue: z.core.$ZodIssue, path: KeyPath, value: LocatedValue | undefined): string {
  const key = renderKeyPath(path);
  const isWhole = issue.code === 'invalid_type' && issue.expected === 'number' && isWholeNumber(path);
  const required = (isWhole ? 'a whole number' : requirement(issue)) + (isNullable(path) ? ' or null' : '');
  if (value === undefined) return `${key} is missing${meaning(path)}`;
  const wantsText = issue.code === 'invalid_type' && issue.expected === 'string';
  const hint = wantsText && isPlainScalar(value) ? '; put it in quotes' : '';
  const source = /^corpus\.sources(\[\d+\])?$/.exec(key);
  const isPath = source !== null && value.kind === 'scalar' && typeof value.value === 'string';
  const example = isPath
    ? `; write ${source[1] === undefined ? `[{ path: ${value.value} }]` : `{ path: ${value.value} }`}`
    : '';
  return `${key} must be ${required}, but is ${shown(value)}${hint}${example}`;
}

/** The value required, as words that follow "must be". */
function requirement(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_type') return typeNames[issue.expected] ?? issue.expected;
  if (issue.code === 'invalid_value') return alternatives(issue.values.map(String));
  if (issue.code === 'too_small') {
    return bound(issue.origin, issue.minimum, issue.inclusive === false ? 'greater than' : 'at least');
  }
  if (issue.code === 'too_big') {
    return bound(issue.origin, issue.maximum, issue.inclusive === false ? 'less than' : 'at most');
  }
  return issue.message;
}

const typeNames: Readonly<Record<string, string>> = {
  int: 'a whole number',
  number: 'a number',
  string: 'text',
  boolean: 'true or false',
  object: 'a mapping of keys to values',
  array: 'a list',
  tuple: 'a list',
};

function bound(origin: string, limit: number | bigint, words: string): string {
  if (origin === 'array') return `a list of ${words} ${limit} ${limit === 1 ? 'entry' : 'entries'}`;
  if (origin === 'string') return `text of ${words} ${limit} character${limit === 1 ? '' : 's'}`;
  return `${words} ${limit}`;
}

function alternatives(names: readonly string[]): string {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;
}

const maxShownCharacters = 60;

function shown(value: LocatedValue | undefined): string {
  if (value === undefined) return 'missing';
  if (value.kind === 'mapping') return 'a mapping';
  if (value.kind === 'list') return value.items.length === 0 ? 'an empty list' : `a list of ${value.items.length}`;
  if (value.value === null) return 'empty (null)';
  const text = typeof value.value === 'string' ? JSON.stringify(value.value) : String(value.value);
  return text.length > maxShownCharacters ? `${text.slice(0, maxShownCharacters)}…` : text;
}

function isPlainScalar(value: LocatedValue): boolean {
  return value.kind === 'scalar' && value.value !== null;
}

function meaning(path: KeyPath): string {
  const schema = schemaAt(path) as z.ZodType | undefined;
  return schema?.description === undefined ? '' : `: ${schema.description}`;
}
