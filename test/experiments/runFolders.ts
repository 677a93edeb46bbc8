/** Run directories for tests, as clm writes them, without training. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

export interface FakeRun {
  /** Validation losses by step. */
  evaluations?: [step: number, loss: number][];
  /** Further figures of every evaluation, such as those of preference pairs. */
  evaluated?: object;
  /** Training losses of updates 1, 2, …; null skips the record of one. */
  losses?: number[];
  steps?: number;
  config?: string;
  environment?: object;
  status?: object;
  /** Content of each file of the corpus (no corpus.json without any), and how many of them are for validation only. */
  texts?: string[];
  validationFiles?: number;
  tokenizer?: string;
  bytesPerToken?: number;
  samples?: Record<string, string>;
}

/** Writes a run with 10 tokens and 100 ms per step and 6 FLOPs per token. @returns its directory */
export function writeRun(directory: string, run: FakeRun): string {
  const {
    evaluations = [],
    evaluated = {},
    losses = [],
    steps = losses.length,
    config,
    environment = {},
    samples = {},
  } = run;
  const { status, texts, validationFiles, tokenizer, bytesPerToken = 1 } = run;
  mkdirSync(path.join(directory, 'samples'), { recursive: true });
  const records: { kind: string; step: number }[] = [
    ...losses.map((loss, i) => ({
      kind: 'step',
      step: i + 1,
      loss,
      learningRate: 1e-3,
      gradientNorm: 1,
      tokensPerSecond: 100 + i,
      elapsedMs: 100 * (i + 1),
    })),
    ...evaluations.map(([step, loss]) => ({
      kind: 'evaluation',
      step,
      loss,
      perplexity: Math.exp(loss),
      bitsPerByte: loss / Math.LN2 / bytesPerToken,
      tokens: 50,
      ...evaluated,
    })),
  ].sort((a, b) => a.step - b.step);
  writeFileSync(path.join(directory, 'metrics.jsonl'), records.map((record) => `${JSON.stringify(record)}\n`).join(''));
  const plan = { steps, tokensPerStep: 10, parameters: 1000, flopsPerToken: 6 };
  writeFileSync(
    path.join(directory, 'environment.json'),
    JSON.stringify({ program: 'clm', plan, device: { name: 'cpu' }, ...environment }),
  );
  writeFileSync(path.join(directory, 'config.yaml'), config ?? 'seed: 1\n');
  const write = (name: string, text: string) => writeFileSync(path.join(directory, name), text);
  if (status !== undefined) write('status.json', JSON.stringify({ step: losses.length, reason: null, ...status }));
  if (tokenizer !== undefined) write('tokenizer.json', tokenizer);
  if (texts !== undefined) {
    const files = texts.map((text, i) => ({ path: `/texts/${i}`, bytes: text.length, sha256: `sha of ${text}` }));
    const counts = { trainingTokens: 50, validationTokens: 50, ...(validationFiles && { validationFiles }) };
    write('corpus.json', JSON.stringify({ version: 1, ...counts, files }));
  }
  for (const [name, text] of Object.entries(samples)) writeFileSync(path.join(directory, 'samples', name), text);
  return directory;
}
