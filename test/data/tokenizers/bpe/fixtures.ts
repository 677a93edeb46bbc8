/** Tokenizers that Hugging Face trained, with its ids of texts; a new kind is a new file in fixtures/. */
import { readdirSync, readFileSync } from 'node:fs';

export interface Fixture {
  readonly name: string;
  readonly tokenizer: Record<string, unknown> & {
    model: { vocab: Record<string, number>; merges: [string, string][] };
  };
  readonly trainingTexts: string[];
  readonly cases: { text: string; ids: number[]; idsWithSpecialTokens: number[] }[];
}

const folder = new URL('../fixtures/', import.meta.url);

export const fixtures: Fixture[] = readdirSync(folder)
  .sort()
  .map((file) => ({ name: file.replace('.json', ''), ...JSON.parse(readFileSync(new URL(file, folder), 'utf8')) }));

export const fixture = (name: string): Fixture => fixtures.find((each) => each.name === name)!;
