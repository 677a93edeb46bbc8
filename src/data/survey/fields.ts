/** Which fields of JSON lines, CSV, TSV and Parquet hold text, by the first records of a file. */
import { chatField } from '../chat/messages.ts';
import type { CorpusFile } from '../files/corpus.ts';
import { parquetColumns, parquetRecords } from '../files/parquet.ts';
import { fieldsOf, findRecordEnd, type Separation } from '../files/separatedValues.ts';
import { findBytes, splitAtDelimiters } from '../files/splitAtDelimiters.ts';

const records = 200;

export interface TextField {
  name: string;
  /** Characters of its texts in the first records. */
  characters: number;
  /** Whether some records have no text in it. */
  hasGaps: boolean;
}

/** In the order of the file, without fields that never hold text. What cannot be read is left to the reader proper. */
export async function textFields(file: CorpusFile): Promise<TextField[]> {
  const fields = new Map<string, { characters: number; texts: number }>();
  let count = 0;
  for await (const record of firstRecords(file)) {
    count++;
    for (const [name, value] of Object.entries(record)) {
      const known = fields.get(name) ?? { characters: 0, texts: 0 };
      const text = typeof value === 'string' ? value : Buffer.isBuffer(value) ? value.toString('utf8') : undefined;
      fields.set(name, {
        characters: known.characters + (text === undefined || !/[^\d.,\s-]/.test(text) ? 0 : text.length),
        texts: known.texts + (text === undefined ? 0 : 1),
      });
    }
    if (count === records) break;
  }
  return [...fields]
    .filter(([, { characters }]) => characters > 0)
    .map(([name, { characters, texts }]) => ({ name, characters, hasGaps: texts < count }));
}

/** The field that is likeliest meant: `text`, or else the one with the most text. */
export const likeliestField = (fields: readonly TextField[]): TextField | undefined =>
  fields.find(({ name }) => name === 'text') ?? [...fields].sort((a, b) => b.characters - a.characters)[0];

/** The field with chats. A file that has texts in a field `text` is taken for those. */
export async function chatFieldOf(file: CorpusFile): Promise<string | undefined> {
  let count = 0;
  for await (const record of firstRecords(file)) {
    const field = chatField(record);
    if (field !== undefined) return 'text' in record ? undefined : field;
    if (++count === records) break;
  }
  return undefined;
}

/** Whether a field holds lists, e.g. of messages, rather than texts: by the first record that has it. */
export async function holdsList(file: CorpusFile, field: string): Promise<boolean> {
  for await (const record of firstRecords(file))
    if ((record[field] ?? null) !== null) return Array.isArray(record[field]);
  return false;
}

async function* firstRecords(file: CorpusFile): AsyncGenerator<Record<string, unknown>, void, void> {
  const all = { startByte: file.startByte, endByte: file.startByte + file.bytes };
  if (file.format === 'parquet') {
    const columns = await parquetColumns(file.path);
    for await (const { values } of parquetRecords(file.path, columns, 0, Math.min(records, file.bytes))) yield values;
  } else if (file.format === 'jsonLines') {
    for await (const { bytes } of splitAtDelimiters(file, all, findBytes(Uint8Array.of(0x0a)), {})) {
      const record = parsed(Buffer.from(bytes).toString('utf8'));
      if (record !== undefined) yield record;
    }
  } else {
    const separation: Separation = { delimiter: file.format === 'tsv' ? '\t' : ',', quotes: true };
    let names: string[] | undefined;
    for await (const { bytes } of splitAtDelimiters(file, all, findRecordEnd(separation), {})) {
      const values = fieldsOf(Buffer.from(bytes).toString('utf8'), separation);
      if (!Array.isArray(values)) continue;
      if (names === undefined) names = values;
      else yield Object.fromEntries(names.map((name, i) => [name, values[i]]));
    }
  }
}

function parsed(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
