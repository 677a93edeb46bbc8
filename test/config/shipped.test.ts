import { readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { z } from 'zod';
import { renderConfigJsonSchema } from '../../src/config/jsonSchema.ts';
import { keysIn, leafKeys, schemaAt } from '../../src/config/keys.ts';
import { loadConfig } from '../../src/config/load.ts';
import { originsIn, parseLocated, renderKeyPath, valueAt } from '../../src/config/located.ts';
import type { KeyPath } from '../../src/config/located.ts';
import { expandSweep } from '../../src/experiments/sweep/expandSweep.ts';
import { readSweep } from '../../src/experiments/sweep/sweepFile.ts';
import { corpus, useConfigFolder } from './configFolder.ts';

const repository = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const files = readdirSync(repository('configs')).filter((name) => name.endsWith('.yaml'));
const sweepFiles = readdirSync(repository('configs/sweeps')).filter((name) =>
  /^config:/m.test(readFileSync(repository(`configs/sweeps/${name}`), 'utf8')),
);
const folder = useConfigFolder();

describe('configs/', () => {
  it('has the shipped configs', () => {
    for (const name of ['moby-dick', 'nanogpt-shakespeare-char', 'nanogpt-shakespeare-char-gpu', 'reference']) {
      expect(files).toContain(`${name}.yaml`);
    }
  });

  it.each(files)('%s loads, has its file name as name, and declares its schema for editors', (name) => {
    const path = repository(`configs/${name}`);
    expect(loadConfig(path).name).toBe(basename(name, '.yaml'));
    expect(readFileSync(path, 'utf8').split('\n')[0]).toBe(
      '# yaml-language-server: $schema=../schema/config.schema.json',
    );
  });

  it.each([
    ['characters', { model: { width: 128 }, optimizer: { kind: 'muon', learningRate: 8e-3 } }],
    ['bpe', { tokenizer: { kind: 'bpe' }, model: { width: 256 }, optimizer: { kind: 'muon', learningRate: 5.7e-3 } }],
  ])('recipes/%s.yaml needs only a corpus and a length', (name, expected) => {
    const recipe = repository(`configs/recipes/${name}.yaml`);
    const text = `extends: ${JSON.stringify(recipe)}\n${corpus}\ntraining: { steps: 9 }\n`;
    const config = loadConfig(folder.write('recipe.yaml', text));
    expect(config).toMatchObject({ ...expected, training: { steps: 9 }, schedule: { kind: 'linear' } });
    expect(config.model).toMatchObject({ family: 'llama', queryKeyNorm: true, activation: 'swiglu' });
  });

  it.each(sweepFiles)('sweeps/%s has at least two settings, whose configs are valid', (name) => {
    const sweep = readSweep(repository(`configs/sweeps/${name}`));
    const settings = new Map(expandSweep(sweep).map(({ setting, set }) => [setting, set]));
    expect(settings.size).toBeGreaterThan(1);
    for (const set of settings.values()) loadConfig(sweep.config, { set });
  });

  it.each(['nanogpt-shakespeare-char', 'nanogpt-shakespeare-char-gpu'])('%s.yaml says where its text is', (name) => {
    const text = readFileSync(repository(`configs/${name}.yaml`), 'utf8');
    expect(text).toMatch(/^# https:\/\/\S+\/tinyshakespeare\/input\.txt$/m);
  });

  it("nanogpt-shakespeare-char.yaml is nanoGPT's CPU config", () => {
    expect(loadConfig(repository('configs/nanogpt-shakespeare-char.yaml'))).toMatchObject({
      corpus: { sources: [{ path: repository('corpus/tinyshakespeare.txt') }], validation: { tail: 0.1 } },
      model: { family: 'gpt2', layers: 4, heads: 4, width: 128, contextLength: 64, dropout: 0, biases: false },
      training: { microBatchSize: 12, microBatchesPerStep: 1, steps: 2000, precision: 'float32' },
      optimizer: {
        kind: 'adamw',
        learningRate: 1e-3,
        betas: [0.9, 0.99],
        epsilon: 1e-8,
        weightDecay: 0.1,
        gradientClip: 1,
      },
      schedule: { kind: 'cosine', warmupSteps: 100, finalLearningRate: 1e-4 },
    });
  });

  it("nanogpt-shakespeare-char-gpu.yaml is nanoGPT's GPU config", () => {
    expect(loadConfig(repository('configs/nanogpt-shakespeare-char-gpu.yaml'))).toMatchObject({
      model: { family: 'gpt2', layers: 6, heads: 6, width: 384, contextLength: 256, dropout: 0.2, biases: false },
      training: { microBatchSize: 64, microBatchesPerStep: 1, steps: 5000, precision: 'float32' },
      optimizer: {
        kind: 'adamw',
        learningRate: 1e-3,
        betas: [0.9, 0.99],
        epsilon: 1e-8,
        weightDecay: 0.1,
        gradientClip: 1,
      },
      schedule: { kind: 'cosine', warmupSteps: 100, finalLearningRate: 1e-4 },
    });
  });

  describe('reference.yaml', () => {
    const path = repository('configs/reference.yaml');

    it('has every key of the schema, in its order', () => {
      const tree = parseLocated(readFileSync(path, 'utf8'), originsIn(path))!;
      const written = (parent: KeyPath): string[] => {
        const value = valueAt(tree, parent);
        if (value?.kind !== 'mapping') return [renderKeyPath(parent)];
        return [...value.entries.keys()].flatMap((name) => written([...parent, name]));
      };
      expect(written([])).toEqual(leafKeys().map(renderKeyPath));
    });

    it('has every value at its default, except the sources, which have none', () => {
      const reference = loadConfig(path);
      const defaults = loadConfig(folder.write('reference.yaml', corpus));
      expect({ ...reference, corpus: { ...reference.corpus, sources: [] } }).toEqual({
        ...defaults,
        corpus: { ...defaults.corpus, sources: [] },
      });
    });

    it('has a comment at every value', () => {
      const lines = readFileSync(path, 'utf8').split('\n');
      const bare = lines.filter((line) => /^\s*\w+: ./.test(line) && !line.includes(' # '));
      expect(bare).toEqual(['  maxTokens: 120']); // says it all
    });
  });
});

describe('the schema', () => {
  it('describes every key', () => {
    const keys: KeyPath[] = [...leafKeys(), ...keysIn([]).map((name) => [name]), ['corpus', 'sources', 0, 'path']];
    const silent = keys.filter((path) => !(schemaAt(path) as z.ZodType | undefined)?.description);
    expect(silent.map(renderKeyPath)).toEqual([]);
  });

  it('equals schema/config.schema.json (npm run docs -- --quick updates it)', () => {
    expect(readFileSync(repository('schema/config.schema.json'), 'utf8')).toBe(renderConfigJsonSchema());
  });

  it('lets a file that extends another omit keys, but no list entry omit its path', () => {
    const schema = JSON.parse(renderConfigJsonSchema());
    expect(schema.properties.extends.type).toBe('string');
    expect([
      schema.required,
      schema.properties.corpus.required,
      schema.properties.corpus.properties.validation.required,
    ]).toEqual([undefined, undefined, undefined]);
    expect(schema.properties.corpus.properties.sources.items.required).toEqual(['path']);
    expect(schema.additionalProperties).toBe(false);
    expect(schema.properties.model.properties.layers).toMatchObject({
      anyOf: [{ type: 'integer', minimum: 1 }, { pattern: '^\\$\\{' }],
      default: 4,
    });
  });
});
