import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { loadConfig } from '../../src/config/load.ts';
import * as choices from '../../src/experiments/startingChoices.ts';
import { renderStartingConfig, type StartingConfig } from '../../src/experiments/startingConfig.ts';
import { useConfigFolder, wrongInputMessage } from '../config/configFolder.ts';

const { modelSizes, sizeFor, stepFlops, tokenizerFor } = choices;
const text = (bytes: number, distinctCharacters = 90, documents = 1) => ({
  ...{ bytes, characters: bytes, distinctCharacters, documents },
});

describe('the tokenizer of a text', () => {
  it.each([
    [text(5e5), 'characters', 90],
    [text(9e6), 'characters', 90],
    [text(5e7), 'bpe', 4096],
    [text(5e8), 'bpe', 8192],
    [text(2e6, 3000), 'bpe', 2048], // e.g. Chinese
    [text(2e5, 3000), 'bytes', 257],
  ] as const)('%j: %s', (facts, kind, vocabularySize) => {
    expect(tokenizerFor(facts)).toMatchObject({ kind, vocabularySize });
  });

  it('can be named', () => {
    expect(tokenizerFor(text(5e5), 'bpe')).toMatchObject({ kind: 'bpe', vocabularySize: 1024 });
    expect(tokenizerFor(text(1000), 'bpe')).toMatchObject({ kind: 'bpe', vocabularySize: 512 });
    expect(tokenizerFor(text(5e7), 'characters')).toMatchObject({ kind: 'characters' });
  });
});

describe('the model', () => {
  it('is larger for more time, and has at least 800 updates', () => {
    const sizes = [0.1, 2, 10, 60, 24 * 60].map((minutes) => sizeFor(minutes, 1e11, 90, 1e9));
    expect(sizes[0]).toEqual(modelSizes[0]);
    const places = sizes.map((size) => modelSizes.findIndex(({ width }) => width === size.width));
    expect(places).toEqual([...places].sort());
    expect(new Set(places).size).toBeGreaterThan(3);
    const { steps } = choices.lengthFor(60, (1000 * stepFlops(sizes[3]!, 90)) / 1e11, sizes[3]!, 1e9);
    expect(steps).toBeGreaterThanOrEqual(800);
    expect(stepFlops(sizes[3]!, 4096)).toBeGreaterThan(stepFlops(sizes[3]!, 90));
  });

  it('is larger for more text, however much time there is', () => {
    const widths = [1e4, 3e5, 1.2e6, 1e7, 1e8].map((tokens) => sizeFor(1e5, 1e12, 90, tokens).width);
    expect(widths).toEqual([64, 128, 192, 384, 768]);
  });

  it('has windows of which a small text has several, and none for next to no text', () => {
    for (const tokens of [200, 900, 5000, 20_000]) {
      const { contextLength, microBatchSize } = sizeFor(1, 1e9, 90, tokens);
      expect(Math.floor((0.9 * tokens) / (contextLength + 1)), String(tokens)).toBeGreaterThanOrEqual(
        2 * microBatchSize,
      );
    }
    expect(wrongInputMessage(() => sizeFor(1, 1e9, 90, 150))).toContain('150 tokens, too little to train on');
  });

  it('is not trained for more epochs than a text is good for', () => {
    const size = modelSizes[0]!;
    const short = choices.lengthFor(600, 2, size, 100_000);
    expect(short).toMatchObject({ isOfText: true, steps: 2600 });
    expect(short.epochs).toBeCloseTo(40, 0);
    expect(choices.lengthFor(1, 2, size, 1e9)).toMatchObject({ isOfText: false, steps: 25_000 });
  });
});

describe('the validation split', () => {
  it.each([
    [text(1e6), false, { key: 'tail', share: 0.1 }],
    [text(1e8), false, { key: 'tail', share: 0.002 }],
    [text(1e6, 90, 12), true, { key: 'tail', share: 0.1 }],
    [text(1e6, 90, 30), true, { key: 'hash', share: 0.2 }],
    [text(1e8, 90, 50_000), true, { key: 'hash', share: 0.002 }],
  ] as const)('%j', (facts, hasDocuments, split) => {
    expect(choices.validationFor(facts, hasDocuments)).toEqual(split);
  });
});

describe('a starting config', () => {
  const folder = useConfigFolder();
  const config: StartingConfig = {
    ...{ name: 'my-run', paths: ['my text.txt'], sourceKeys: {}, encodingErrors: null, schema: 's' },
    ...{ validation: { key: 'tail', share: 0.1 }, tokenizer: tokenizerFor(text(1e6)), prompt: 'He said "no"' },
    ...{ minutes: 1, size: modelSizes[1]!, steps: 1500, epochs: 3.21 },
  };

  it('loads, with its comments in one column', () => {
    for (const size of modelSizes) {
      const written = renderStartingConfig({ ...config, size });
      const loaded = loadConfig(folder.write('a.yaml', written));
      expect(loaded).toMatchObject({ model: { width: size.width }, training: { steps: 1500 }, name: 'my-run' });
      expect(loaded.model).toMatchObject({ family: 'llama', activation: 'swiglu', queryKeyNorm: true });
      expect(loaded.optimizer).toMatchObject({ kind: 'muon', learningRate: choices.learningRateFor(size.width) });
      expect(loaded.samples.prompt).toBe('He said "no"');
      const columns = written.split('\n').flatMap((line) => (/\S\s+# /.test(line) ? [line.indexOf(' # ')] : []));
      expect(columns.length).toBeGreaterThan(9);
      expect(new Set(columns).size).toBe(1);
    }
  });

  it('of a small model is the recipe for characters, but for its length', () => {
    const recipe = parse(readFileSync(new URL('../../configs/recipes/characters.yaml', import.meta.url), 'utf8'));
    const written = parse(renderStartingConfig(config));
    expect(written).toMatchObject({ tokenizer: recipe.tokenizer, model: recipe.model, schedule: recipe.schedule });
    expect(recipe.optimizer).toMatchObject(written.optimizer);
    expect(recipe.training).toEqual({ microBatchSize: written.training.microBatchSize });
  });

  it('has what documents and records need, a comment above a line that is too long for one', () => {
    const sourceKeys = { field: '"the body"', emptyRows: 'skip' };
    const validation = { key: 'hash', share: 0.02 } as const;
    const tokenizer = tokenizerFor(text(5e7));
    const paths = ['data/with a rather long name/pages.jsonl'];
    const written = renderStartingConfig({
      ...config,
      ...{ paths, sourceKeys, validation, tokenizer },
      encodingErrors: 'skip',
    });
    expect(written).toMatch(/^ {2}# a file, a folder or a glob\n {2}sources: \[\{ path: "data/m);
    expect(loadConfig(folder.write('b.yaml', written))).toMatchObject({
      corpus: {
        sources: [{ field: 'the body', emptyRows: 'skip' }],
        validation: { hash: 0.02 },
        encodingErrors: 'skip',
      },
      tokenizer: { kind: 'bpe', vocabularySize: 4096 },
    });
  });
});
