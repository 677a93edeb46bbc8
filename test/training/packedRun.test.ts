/**
 * A run on packed documents, from the config to the log: what it announces, what it records, that stopping changes
 * nothing.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openCorpus } from '../../src/data/files/openCorpus.ts';
import { evaluateCorpus } from '../../src/sampling/scoring/perplexity.ts';
import { loadModel } from '../../src/sampling/loadModel.ts';
import { openTokenLosses } from '../../src/sampling/scoring/tokenLosses.ts';
import type { Evaluation } from '../../src/run/metrics.ts';
import { verifyResume } from '../../src/checks/verifyResume.ts';
import { prepareRun } from './prepareRun.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'clm-packed-'));
  const pairs = Array.from({ length: 60 }, (_, i) => ({
    q: `${i} and ${i % 7}?`,
    a: `${i + (i % 7)}.`.repeat(1 + (i % 3)),
  }));
  const texts = Array.from({ length: 50 }, (_, i) => ({ text: 'the whale and the sea '.slice(0, 3 + ((i * 5) % 19)) }));
  for (const [name, lines] of Object.entries({ pairs, texts }))
    await writeFile(path.join(folder, `${name}.jsonl`), lines.map((line) => JSON.stringify(line)).join('\n'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function configFile(name: string, corpus: string): Promise<string> {
  const file = path.join(folder, `${name}.yaml`);
  await writeFile(
    file,
    `corpus: { packing: documents, shuffleTokens: 1024, validation: { hash: 0.2 }, ${corpus} }
tokenizer: { kind: bytes }
model: { layers: 1, heads: 2, width: 12, contextLength: 16, dropout: 0.1 }
training: { microBatchSize: 3, microBatchesPerStep: 2, steps: 12 }
schedule: { warmupSteps: 2 }
evaluation: { everySteps: 6 }
checkpoints: { everySteps: 6, keepLast: null }
samples: { everySteps: null, prompt: the }
`,
  );
  return file;
}

const request = (configPath: string) => ({
  configPath,
  set: [],
  folder,
  mode: 'recorded' as const,
  signal: new AbortController().signal,
});

it('of pairs: the plan has loss share and padding, the log the targets; stopping changes nothing', async () => {
  const configPath = await configFile('pairs', 'sources: [{ path: pairs.jsonl, prompt: q, completion: a }]');
  const { plan } = await prepareRun({
    config: configPath,
    runDirectory: path.join(folder, 'none'),
    set: [],
    resume: false,
  });
  expect(plan.learntShare).toBeGreaterThan(0.2);
  expect(plan.learntShare).toBeLessThan(0.6);
  expect(plan.paddingShare).toBeGreaterThan(0);
  expect(plan.bytes.mask).toBe(3 * 16 * 4); // the first key that each position of the micro-batch sees

  const own = path.join(folder, 'pairs-check');
  expect(await verifyResume({ ...request(configPath), folder: own, steps: 12, stops: [5, 8] })).toMatchObject({
    equal: true,
    difference: null,
  });
  const records = (await readFile(path.join(own, 'straight', 'metrics.jsonl'), 'utf8'))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, number>);
  const steps = records.filter(({ targets }) => targets !== undefined);
  expect(steps).toHaveLength(12);
  for (const { targets } of steps) expect(targets).toBeLessThan(plan.tokensPerStep * 0.7);
});

it('of a mixture, whose evaluations name the sources: stopping changes nothing', async () => {
  const sources =
    'sources: [{ path: pairs.jsonl, prompt: q, completion: a, weight: 1, finalWeight: 3, name: sums }, ' +
    '{ path: texts.jsonl, weight: 2 }]';
  const configPath = await configFile('mixture', sources);
  const own = path.join(folder, 'mixture-check');
  expect(await verifyResume({ ...request(configPath), folder: own, steps: 12, stops: [7] })).toMatchObject({
    equal: true,
  });
  const log = await readFile(path.join(own, 'straight', 'metrics.jsonl'), 'utf8');
  const last = JSON.parse(
    log
      .trimEnd()
      .split('\n')
      .filter((line) => line.includes('"evaluation"'))
      .at(-1)!,
  ) as Evaluation;
  expect(Object.keys(last.sources!)).toEqual(['sums', 'texts.jsonl']);
  const { sums, 'texts.jsonl': texts } = last.sources as Record<string, { trainedTokens: number }>;
  expect(sums!.trainedTokens + texts!.trainedTokens).toBeLessThan(12 * 6 * 16); // padding does not count
  expect(Math.abs(sums!.trainedTokens - texts!.trainedTokens)).toBeLessThan(4 * 16); // 1:2 at first, 3:2 in the end

  // `clm evaluate` finds the same of each source, document by document.
  const { config, session, table, tokenizer, close } = await loadModel(path.join(own, 'straight'), {
    checkpoint: 'last',
    device: 'cpu',
  });
  try {
    const tokenLosses = openTokenLosses(session, config.model, table, tokenizer.vocabularySize);
    const { whole, sources } = await evaluateCorpus(tokenLosses, await openCorpus(config.corpus), tokenizer, 0);
    expect(sources.map(({ source }) => source)).toEqual(['sums', 'texts.jsonl']);
    for (const { source, loss, tokens } of [{ source: null, ...whole! }, ...sources]) {
      const recorded = source === null ? last : last.sources![source]!;
      expect(tokens).toBe(recorded.tokens);
      expect(loss).toBeCloseTo(recorded.loss, 5);
    }
  } finally {
    close();
  }
});

it('is refused before anything is written if no completion has text', async () => {
  await writeFile(
    path.join(folder, 'empty.jsonl'),
    Array.from({ length: 90 }, (_, i) => JSON.stringify({ q: `why ${i}?`, a: '' })).join('\n'),
  );
  for (const packing of ['documents', 'concatenate']) {
    const configPath = await configFile('empty', 'sources: [{ path: empty.jsonl, prompt: q, completion: a }]');
    const asked = {
      config: configPath,
      runDirectory: path.join(folder, 'empty'),
      set: [`corpus.packing=${packing}`],
      resume: false,
    };
    await expect(prepareRun(asked)).rejects.toThrow(
      'No token of the training text counts towards the loss: its completions are empty',
    );
  }
});
