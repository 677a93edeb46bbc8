import { symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { corpus, useConfigFolder, wrongInputMessage } from './configFolder.ts';

const folder = useConfigFolder();

describe('loadConfig', () => {
  it('fills a minimal file with the defaults and freezes it at every depth', () => {
    const config = loadConfig(folder.write('tiny.yaml', corpus));
    expect(config).toMatchObject({
      name: 'tiny',
      seed: 1337,
      device: 'auto',
      tokenizer: { kind: 'characters' },
      model: { family: 'gpt2', layers: 4, heads: 4, width: 128, contextLength: 64, dropout: 0, biases: false },
      training: { microBatchSize: 12, microBatchesPerStep: 1, steps: 2000, tokens: null, epochs: null },
      optimizer: { betas: [0.9, 0.99], epsilon: 1e-8, gradientClip: 1 },
      samples: { everySteps: 500, prompt: '\n', topK: null },
    });
    expect(config.corpus.sources.map(({ path }) => ({ path }))).toEqual([{ path: folder.path('text.txt') }]);
    for (const value of [
      config,
      config.model,
      config.corpus.sources,
      config.corpus.sources[0],
      config.optimizer.betas,
    ]) {
      expect(Object.isFrozen(value)).toBe(true);
    }
  });

  it('lets a length in a flag replace another length in the file', () => {
    const file = folder.write('a.yaml', `${corpus}training: { steps: 19 }\n`);
    const lengths = (...set: string[]) => {
      const { steps, tokens, epochs } = loadConfig(file, { set }).training;
      return { steps, tokens, epochs };
    };
    expect(lengths()).toEqual({ steps: 19, tokens: null, epochs: null });
    expect(lengths('training.epochs=1.5')).toEqual({ steps: null, tokens: null, epochs: 1.5 });
    expect(lengths('training.tokens=7919')).toEqual({ steps: null, tokens: 7919, epochs: null });
    expect(lengths('training.tokens=null')).toEqual({ steps: 19, tokens: null, epochs: null });
    expect(() => lengths('training.tokens=7919', 'training.epochs=2')).toThrow(
      /only one of training.tokens .* and training.epochs/,
    );
  });

  it('reads numbers as YAML 1.2, and yes as text unlike YAML 1.1', () => {
    const text = `${corpus}optimizer: { learningRate: 1e-3, epsilon: 1E-9 }\nseed: 0x1F\nsamples: { prompt: yes }\n`;
    const config = loadConfig(folder.write('a.yaml', text));
    expect([config.optimizer.learningRate, config.optimizer.epsilon, config.seed]).toEqual([0.001, 1e-9, 31]);
    expect(config.samples.prompt).toBe('yes');
  });

  it('sets steps by default only if no length is set', () => {
    const training = (text: string) => loadConfig(folder.write('a.yaml', corpus + text)).training;
    expect(training('training: { epochs: 1.5 }')).toMatchObject({ steps: null, tokens: null, epochs: 1.5 });
    expect(training('training: { tokens: 7919 }')).toMatchObject({ steps: null, tokens: 7919, epochs: null });
    expect(training('training: { microBatchSize: 5 }')).toMatchObject({ steps: 2000, tokens: null, epochs: null });
  });

  it('derives the name from the file name', () => {
    const name = (file: string) => loadConfig(folder.write(file, corpus)).name;
    expect(['my run (2).yaml', '.hidden.yml', 'größe.yaml'].map(name)).toEqual(['my-run--2-', 'hidden', 'größe']);
  });

  it('resolves an alias', () => {
    const text = `${corpus}evaluation: { everySteps: &often 17 }\ncheckpoints: { everySteps: *often }\n`;
    expect(loadConfig(folder.write('a.yaml', text)).checkpoints.everySteps).toBe(17);
  });
});

describe('extends', () => {
  it('applies defaults, chain, file and flags in this order; merges mappings and replaces lists', () => {
    const two = 'corpus: { sources: [{ path: one.txt }, { path: two.txt }], validation: { tail: 0.2 } }\n';
    folder.write('base/root.yaml', `${two}seed: 2\nmodel: { layers: 2, heads: 2, width: 22 }\nname: root\n`);
    folder.write('base/middle.yaml', 'extends: root.yaml\nmodel: { layers: 3 }\nseed: 3\n');
    const file = folder.write(
      'top.yaml',
      'extends: base/middle.yaml\ncorpus: { sources: [{ path: three.txt }] }\nseed: 5\n',
    );
    const config = loadConfig(file, { set: ['seed=7', 'model.contextLength=11', 'seed=13'] });
    expect(config).toMatchObject({ name: 'root', seed: 13, corpus: { validation: { tail: 0.2 } } });
    expect(config.model).toMatchObject({ layers: 3, heads: 2, width: 22, contextLength: 11, dropout: 0 });
    expect(config.corpus.sources.map(({ path }) => ({ path }))).toEqual([{ path: folder.path('three.txt') }]);
  });

  it('resolves a relative path against the file it is written in', () => {
    folder.write('base/root.yaml', 'corpus: { sources: [{ path: ../texts/*.txt }, { path: /abs/olute.txt }] }');
    const config = loadConfig(folder.write('runs/x.yaml', 'extends: ../base/root.yaml'));
    expect(config.corpus.sources.map(({ path }) => ({ path }))).toEqual([
      { path: folder.path('texts/*.txt') },
      { path: '/abs/olute.txt' },
    ]);
  });

  it('refuses circles, also through a symbolic link', () => {
    folder.write('b.yaml', 'extends: c.yaml');
    const file = folder.write('a.yaml', 'extends: b.yaml');
    symlinkSync(file, folder.path('c.yaml'));
    expect(wrongInputMessage(() => loadConfig(file))).toBe(
      `${folder.path('b.yaml')}:1:10: circular extends: a.yaml → b.yaml → a.yaml`,
    );
  });

  it('names the file and location that refer to a missing file', () => {
    expect(folder.refusal(`${corpus}extends: gone.yaml`)).toBe('a.yaml:2:10: gone.yaml does not exist');
    expect(folder.refusal('extends: [a.yaml]')).toBe('a.yaml:1:10: extends must be the path of a config file');
  });

  it('reports a problem of an inherited key where it was written, file by file', () => {
    folder.write('base.yaml', 'model: { layers: many }\n');
    expect(folder.refusal(`extends: base.yaml\n${corpus}model: { hedas: 2 }\n`)).toBe(
      'base.yaml:1:18: model.layers must be a whole number, but is "many"\n' +
        'a.yaml:3:10: model.hedas is not a config key; did you mean model.heads?',
    );
  });
});

describe('--set', () => {
  const load = (...set: string[]) => loadConfig(folder.write('a.yaml', corpus), { set });

  it('reads scalars and flow style as YAML, and any other text literally', () => {
    const config = load(
      'training.tokens=1e6',
      'samples.everySteps=null',
      'model.biases=true',
      'optimizer.betas=[0.8, 0.95]',
    );
    expect(config.training.tokens).toBe(1_000_000);
    expect(config.samples.everySteps).toBe(null);
    expect(config.model.biases).toBe(true);
    expect(config.optimizer.betas).toEqual([0.8, 0.95]);
    const prompts = ['Call me', 'a: b # c', ' padded ', 'x=y', '"quoted\\n"', "'5'", '""'];
    expect(prompts.map((prompt) => load(`samples.prompt=${prompt}`).samples.prompt)).toEqual([
      'Call me',
      'a: b # c',
      ' padded ',
      'x=y',
      'quoted\n',
      '5',
      '',
    ]);
  });

  it('merges a mapping, changes or appends a list entry, and takes paths from the working directory', () => {
    const config = load(
      'model={layers: 3}',
      'model.heads=2',
      'corpus.sources[0].path=x.txt',
      'corpus.sources[1]={path: /y}',
    );
    expect(config.model).toMatchObject({ layers: 3, heads: 2, width: 128 });
    expect(config.corpus.sources.map(({ path }) => ({ path }))).toEqual([{ path: resolve('x.txt') }, { path: '/y' }]);
    expect(resolve('x.txt')).toBe(join(process.cwd(), 'x.txt'));
  });

  it('can set a key that is in no file', () => {
    const config = loadConfig(folder.write('b.yaml', 'seed: 3'), { set: ['corpus.sources[0].path=x.txt'] });
    expect(config.corpus.sources.map(({ path }) => ({ path }))).toEqual([{ path: resolve('x.txt') }]);
  });

  it.each([
    ['model.layers', '--set model.layers: write --set KEY=VALUE, e.g. --set model.layers=6'],
    ['=3', '--set =3: write --set KEY=VALUE, e.g. --set model.layers=6'],
    ['seed=', '--set seed=: no value; write null for "never", or \'""\' for empty text'],
    ['model..x=1', '--set model..x=1: model..x is not a key; keys look like model.layers or corpus.sources[0].path'],
    ['model.layer=1', '--set model.layer=1: model.layer is not a config key; did you mean model.layers?'],
    ['model.layers=x', '--set model.layers=x: model.layers must be a whole number, but is "x"'],
    ['seed.x=1', '--set seed.x=1: seed must be a whole number, but is a mapping'],
    ['optimizer.betas=[0.5', '--set optimizer.betas=[0.5: not valid YAML: Flow sequence must end with a ]'],
    [
      'corpus.sources=[]',
      '--set corpus.sources=[]: corpus.sources must be a list of at least 1 entry, but is an empty list',
    ],
    [
      'corpus.sources[3].path=x',
      '--set corpus.sources[3].path=x: [3] is out of range for corpus.sources, which has 1 entry',
    ],
    ['extends=b.yaml', '--set extends=b.yaml: extends can only be set in a file'],
  ])('refuses %s', (assignment, message) => {
    expect(folder.refusal(corpus, assignment)).toBe(message);
  });
});
