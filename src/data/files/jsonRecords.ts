/** One line of a JSON lines file, and what to do where a file holds JSON of another kind. */
import { wrongInput } from '../../errors.ts';
import { repeatedKeys } from '../../jsonKeys.ts';
import { shellPath, shellWord } from '../../shellWord.ts';
import type { CorpusFile } from './corpus.ts';

/**
 * The object in a line.
 * @param text the line, not empty
 * @param location where it is, for messages
 * @param fields the names of the fields that hold the text
 * @throws wrongInput if the line is not one JSON object, or one that only holds the records
 */
export function recordIn(
  text: string,
  location: string,
  file: CorpusFile,
  fields: readonly string[],
): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw wrongInput(`${location} is not valid JSON: ${syntaxProblem(text, (cause as Error).message, file, fields)}`, {
      cause,
    });
  }
  if (Array.isArray(value)) throw wrongInput(`${location} is a JSON array. ${linesFrom(file, filterOf(text, fields))}`);
  if (typeof value !== 'object' || value === null)
    throw wrongInput(`${location} is not a JSON object. Every line must be one, with the text in one of its fields.`);
  const record = value as Record<string, unknown>;
  if (file.source?.messages) refuseRepeatedInside(text, location);
  else refuseRepeated(text, location, fields);
  const holder = fields.some((field) => Object.hasOwn(record, field)) ? undefined : holderOf(record, fields);
  if (holder !== undefined)
    throw wrongInput(
      `${location} holds records in an array ${JSON.stringify(holder)}. ` +
        linesFrom(file, `.[${JSON.stringify(holder)}][]`),
    );
  return record;
}

/** As `refuseRepeated`, in the messages of a chat. */
function refuseRepeatedInside(text: string, location: string): void {
  const [key] = repeatedKeys(text, true);
  if (key !== undefined)
    throw wrongInput(`${location} has the key ${JSON.stringify(key)} twice in one object. Fix or remove the line.`);
}

/** JSON.parse keeps only the last value of a key. Fields that no text is taken from do not matter. */
function refuseRepeated(text: string, location: string, fields: readonly string[]): void {
  for (const field of fields) {
    const key = JSON.stringify(field);
    if (text.indexOf(key) === text.lastIndexOf(key)) continue; // scanning every line would take long
    if (repeatedKeys(text).includes(field))
      throw wrongInput(`${location} has the field ${key} twice. Fix or remove the line.`);
  }
}

/** What is wrong and what to do, after "is not valid JSON: ". */
function syntaxProblem(text: string, message: string, file: CorpusFile, fields: readonly string[]): string {
  if (text.startsWith('[')) return `it begins an array. ${linesFrom(file, filterOf(text, fields))}`;
  if (text === '{') return `it is the beginning of an object. ${linesFrom(file, '.')}`;
  const outsideStrings = text.replace(/"(?:[^"\\]|\\.)*"/g, '""');
  const number = /-?\b(?:NaN|Infinity)\b/.exec(outsideStrings)?.[0];
  if (number !== undefined)
    return (
      `JSON has no ${number} (Python's json module writes it). Replace it with null:\n  ` +
      piped(file, `python3 -c '${nullForNaN}'`)
    );
  const word = /\b(?:None|True|False)\b/.exec(outsideStrings)?.[0];
  if (word !== undefined || text.startsWith("{'"))
    return `it is written as Python prints a dict (${word ?? 'single quotes'}). Write the file with json.dumps.`;
  return `${message}. Fix or remove the line.`;
}

/** The jq filter that gives the records of the array at the beginning of `text`; strings become the field's values. */
const filterOf = (text: string, [field]: readonly string[]): string =>
  /^\[\s*"/.test(text) ? `.[] | {${JSON.stringify(field)}: .}` : '.[]';

const nullForNaN =
  'import json,sys; [print(json.dumps(json.loads(line, parse_constant=lambda _: None))) for line in sys.stdin]';

/** The name of a field that is an array of objects with one of `fields`. */
const holderOf = (record: Record<string, unknown>, fields: readonly string[]): string | undefined =>
  Object.keys(record).find((name) => {
    const value = record[name];
    const first: unknown = Array.isArray(value) ? value[0] : undefined;
    return typeof first === 'object' && first !== null && fields.some((field) => Object.hasOwn(first, field));
  });

/** The advice for a file of JSON whose records `filter` of jq selects. */
export const linesFrom = (file: Pick<CorpusFile, 'path' | 'compression'>, filter: string): string =>
  `Every line must be one whole JSON object, in a file of its own:\n  ${piped(file, `jq -c ${shellWord(filter)}`)}`;

/** A shell command that sends the file's content through `command` into a new file beside it. */
function piped({ path, compression }: Pick<CorpusFile, 'path' | 'compression'>, command: string): string {
  const source = shellPath(path);
  const target = shellPath(`${path.replace(/(\.(json|jsonl|ndjson))?(\.(gz|gzip|zst|zstd))?$/i, '')}.lines.jsonl`);
  const reader =
    compression === 'gzip' ? `gzip -dc < ${source} | ` : compression === 'zstd' ? `zstd -dc < ${source} | ` : '';
  return `${reader}${command}${reader === '' ? ` < ${source}` : ''} > ${target}`;
}
