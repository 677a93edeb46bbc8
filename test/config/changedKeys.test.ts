import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { changedKeys } from '../../src/config/changedKeys.ts';
import { loadConfig } from '../../src/config/load.ts';
import { renderConfig } from '../../src/config/resolved.ts';
import { useTemporaryFolder } from '../temporaryFolder.ts';

const folder = useTemporaryFolder();
const complete = (text: string): string => {
  const file = path.join(folder(), 'a.yaml');
  writeFileSync(file, text);
  return renderConfig(loadConfig(file));
};

it('leaves out the keys that have their defaults, also those that follow from other keys', () => {
  const text = complete(
    `corpus: { sources: [{ path: /a.txt }, { path: /b.jsonl, field: body }] }
model: { width: 96, heads: 6, feedForwardWidth: 384 }
training: { steps: 70, microBatchSize: 12 }
optimizer: { betas: [0.9, 0.95] }
samples: { prompt: "a\\nb" }`,
  );
  expect(text.split('\n').length).toBeGreaterThan(60);
  expect(changedKeys(text)).toEqual({
    name: 'a',
    corpus: { sources: [{ path: '/a.txt' }, { path: '/b.jsonl', field: 'body' }], validation: { tail: 0.1 } },
    model: { heads: 6, width: 96 }, // 4 · 96 is the default of feedForwardWidth
    training: { steps: 70 },
    optimizer: { betas: [0.9, 0.95] },
    samples: { prompt: 'a\nb' },
  });
});

it('reads the config.yaml of a run, which says where its paths led when it was written', () => {
  const file = path.join(folder(), 'b.yaml');
  writeFileSync(file, 'corpus: { sources: [{ path: a.txt }] }\ntraining: { steps: 70 }\n');
  const text = renderConfig(loadConfig(file), path.join(folder(), 'runs/b'));
  expect(text).toContain('formerPaths');
  expect(changedKeys(text)).toEqual({
    name: 'b',
    corpus: { sources: [{ path: '../../a.txt' }], validation: { tail: 0.1 } },
    training: { steps: 70 },
  });
});

it('does not read the config of another version', () => {
  expect(changedKeys(complete('corpus: { sources: [{ path: /a.txt }] }').replace('seed:', 'sead:'))).toBeUndefined();
});

it('every shipped config is what it changes', () => {
  const file = path.resolve(import.meta.dirname, '../../configs/moby-dick-bpe.yaml');
  expect(readFileSync(file, 'utf8')).toContain('contextLength');
  const changed = changedKeys(renderConfig(loadConfig(file)))!;
  writeFileSync(path.join(folder(), 'moby-dick.json'), JSON.stringify(changed)); // JSON is YAML too
  expect(loadConfig(path.join(folder(), 'moby-dick.json'))).toEqual(loadConfig(file));
});
