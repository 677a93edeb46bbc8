import { mkdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { corpus, useConfigFolder, wrongInputMessage } from './configFolder.ts';

const folder = useConfigFolder();

describe('an invalid config', () => {
  it('is refused with every problem, in the order of the lines', () => {
    const text =
      `${corpus}seed: -1\nmodel: { widht: 64, layers: two, heads: 2.5, dropout: 1 }\n` +
      'batch_size: 3\nlearningRate: 1\nbogus: 1\ntraining: { epochs: .inf }\n';
    expect(folder.refusal(text).split('\n')).toEqual([
      'a.yaml:2:7: seed must be at least 0, but is -1',
      'a.yaml:3:10: model.widht is not a config key; did you mean model.width?',
      'a.yaml:3:29: model.layers must be a whole number, but is "two"',
      'a.yaml:3:41: model.heads must be a whole number, but is 2.5',
      'a.yaml:3:55: model.dropout must be less than 1, but is 1',
      'a.yaml:4:1: batch_size is not a config key; did you mean training.microBatchSize?',
      'a.yaml:5:1: learningRate is not a config key; did you mean optimizer.learningRate?',
      'a.yaml:6:1: bogus is not a config key; ' +
        'valid keys are name, seed, device, start, adapter, corpus, tokenizer, model, training, ' +
        'optimizer, schedule, evaluation, checkpoints, samples, reports',
      'a.yaml:7:21: training.epochs must be a number or null, but is Infinity',
    ]);
  });

  it.each([
    ['device: gpu', 'a.yaml:2:9: device must be auto, cpu or cuda, but is "gpu"'],
    ['model: { family: gpt3 }', 'a.yaml:2:18: model.family must be gpt2 or llama, but is "gpt3"'],
    ['seed: .nan', 'a.yaml:2:7: seed must be a whole number, but is NaN'],
    ['seed: 4294967296', 'a.yaml:2:7: seed must be at most 4294967295, but is 4294967296'],
    [
      'schedule: { warmupSteps: 101% }',
      'a.yaml:2:26: schedule.warmupSteps must be a whole number of at least 0, or a share of the run such as 5%, ' +
        'but is "101%"',
    ],
    ['samples: { prompt: 5 }', 'a.yaml:2:20: samples.prompt must be text, but is 5; put it in quotes'],
    ['model: { biases: yes }', 'a.yaml:2:18: model.biases must be true or false, but is "yes"'],
    ['tokenizer: bytes', 'a.yaml:2:12: tokenizer must be a mapping of keys to values, but is "bytes"'],
    ['training:', 'a.yaml:2:10: training must be a mapping of keys to values, but is empty (null)'],
    ['training: { tokens: 0 }', 'a.yaml:2:21: training.tokens must be at least 1 or null, but is 0'],
    ['optimizer: { gradientClip: 0 }', 'a.yaml:2:28: optimizer.gradientClip must be greater than 0 or null, but is 0'],
    [
      'optimizer: { betas: [0.9] }',
      'a.yaml:2:14: optimizer.betas must be a list of at least 2 entries, but is a list of 1',
    ],
    ['optimizer: { kind: muon, momentum: 1 }', 'a.yaml:2:36: optimizer.momentum must be less than 1 or null, but is 1'],
    [
      'evaluation: { everySteps: null, patience: 2 }',
      'a.yaml:2:43: evaluation.patience has no effect with evaluation.everySteps: null; set it to null',
    ],
    ['training: { emaDecay: 0 }', 'a.yaml:2:23: training.emaDecay must be greater than 0 or null, but is 0'],
    ['training: { recompute: layer }', 'a.yaml:2:24: training.recompute must be block or null, but is "layer"'],
    [
      'training: { guard: { windowSteps: 3 } }',
      'a.yaml:2:35: training.guard.windowSteps must be at least 10, but is 3',
    ],
    ['optimizer: { betas: [0.9, 1] }', 'a.yaml:2:27: optimizer.betas[1] must be less than 1, but is 1'],
    [
      'name: .x',
      "a.yaml:2:7: name must be made of letters, digits, '.', '_' and '-', without a leading dot, but is \".x\"",
    ],
    [
      'optimizer: { weight_decay: 0 }',
      'a.yaml:2:14: optimizer.weight_decay is not a config key; did you mean optimizer.weightDecay?',
    ],
    [
      'model: { everySteps: 3 }',
      expect.stringContaining('did you mean evaluation.everySteps or checkpoints.everySteps'),
    ],
    [
      'reports: { xyzzy: 3 }',
      'a.yaml:2:12: reports.xyzzy is not a config key; valid keys in reports are everySteps, log',
    ],
    ['__proto__: { seed: 3 }', expect.stringContaining('a.yaml:2:1: __proto__ is not a config key')],
    ['model: { constructor: 3 }', expect.stringContaining('a.yaml:2:10: model.constructor is not a config key')],
  ])('%s', (line, message) => {
    expect(folder.refusal(`${corpus}${line}\n`)).toEqual(message);
  });

  it.each([
    ['corpus: {}', 'a.yaml:1:1: corpus.sources is missing: Text sources, in reading order.'],
    ['seed: 3', 'a.yaml:1:1: corpus is missing: Training and validation text.'],
    [
      'corpus: { sources: x.txt }',
      'a.yaml:1:20: corpus.sources must be a list, but is "x.txt"; write [{ path: x.txt }]',
    ],
    ['corpus: { sources: [] }', 'a.yaml:1:11: corpus.sources must be a list of at least 1 entry, but is an empty list'],
    [
      'corpus: { sources: [x.txt] }',
      'a.yaml:1:21: corpus.sources[0] must be a mapping of keys to values, but is "x.txt"; write { path: x.txt }',
    ],
    [
      'corpus: { sources: [{ path: "" }] }',
      expect.stringContaining('corpus.sources[0].path must be text of at least 1 character'),
    ],
    [
      'corpus: { sources: [{ path: x.txt }], packing: whole }',
      'a.yaml:1:48: corpus.packing must be concatenate or documents, but is "whole"',
    ],
    [
      'corpus: { sources: [{ path: x, weight: 1 }, { path: y }] }',
      'a.yaml:1:45: corpus.sources[1].weight is missing: set it for all sources or for none',
    ],
    [
      'corpus: { sources: [{ path: x, weightsAtSteps: [{ step: 5, weight: 1 }] }] }',
      'a.yaml:1:21: corpus.sources[0].weightsAtSteps requires corpus.sources[0].weight',
    ],
    [
      'corpus: { sources: [{ path: x, weight: 1, weightsAtSteps: [{ step: 5, weight: 1 }, { step: 5, weight: 2 }] }] }',
      'a.yaml:1:92: the steps of corpus.sources[0].weightsAtSteps must be in ascending order',
    ],
    [
      'corpus: { sources: [{ path: x, weight: 1, finalWeight: 2, weightsAtSteps: [{ step: 5, weight: 1 }] }] }',
      'a.yaml:1:56: only one of corpus.sources[0].finalWeight and corpus.sources[0].weightsAtSteps can be set; ' +
        'set the other to null',
    ],
    [
      'corpus: { sources: [{ path: x, weight: 1, weightsAtSteps: [{ step: 7, weight: 0 }] }, { path: y, weight: 0 }] }',
      'a.yaml:1:11: all sources of the mixture have weight 0 at step 7; give at least one a weight above 0',
    ],
  ])('corpus: %s', (text, message) => {
    expect(folder.refusal(text)).toEqual(message);
  });
});

describe('invalid combinations', () => {
  it.each([
    [
      'model: { width: 35, heads: 3 }',
      'a.yaml:2:28: model.heads (3) must divide model.width (35); e.g. model.heads: 1',
    ],
    ['model: { width: 34 }', 'a.yaml:2:17: model.heads (4) must divide model.width (34); e.g. model.heads: 2'],
    [
      'training: { steps: 300, epochs: 2 }',
      'a.yaml:2:20: only one of training.steps (a.yaml:2:20) and training.epochs (a.yaml:2:33) can set the length ' +
        'of the run; set the others to null',
    ],
    [
      'optimizer: { learningRate: 5e-5 }\nschedule: { finalLearningRate: 1e-4 }',
      'a.yaml:3:32: schedule.finalLearningRate (0.0001) must not exceed optimizer.learningRate (0.00005); ' +
        'lower schedule.finalLearningRate',
    ],
    [
      'tokenizer: { kind: words }',
      'a.yaml:2:20: tokenizer.kind must be characters, bytes, bpe or file, but is "words"',
    ],
    [
      'tokenizer: { kind: bpe }',
      'a.yaml:2:20: tokenizer.vocabularySize is missing; e.g. tokenizer: { kind: bpe, vocabularySize: 4096 }',
    ],
    [
      'tokenizer: { kind: file }',
      'a.yaml:2:20: tokenizer.path is missing; e.g. tokenizer: { kind: file, path: tokenizer.json }',
    ],
    [
      'tokenizer: { kind: bpe, vocabularySize: 256 }',
      'a.yaml:2:41: tokenizer.vocabularySize must be at least 257 or null, but is 256',
    ],
    [
      'tokenizer: { vocabularySize: 300 }',
      'a.yaml:2:30: tokenizer.vocabularySize has no effect with tokenizer.kind: characters; set it to null, ' +
        'or tokenizer.kind to bpe',
    ],
    [
      'tokenizer: { kind: bytes, path: a.json }',
      'a.yaml:2:33: tokenizer.path has no effect with tokenizer.kind: bytes; set it to null, ' +
        'or tokenizer.kind to file',
    ],
    [
      'tokenizer: { kind: bpe, vocabularySize: 300, endOfText: x }',
      'a.yaml:2:57: tokenizer.endOfText has no effect with tokenizer.kind: bpe; set it to null, ' +
        'or tokenizer.kind to file',
    ],
    [
      'optimizer: { momentum: 0.9 }',
      'a.yaml:2:24: optimizer.momentum has no effect with optimizer.kind: adamw; set it to null, ' +
        'or optimizer.kind to muon',
    ],
    [
      'schedule: { kind: constant, finalLearningRate: 1e-5 }',
      'a.yaml:2:48: schedule.finalLearningRate has no effect with schedule.kind: constant; set it to null, ' +
        'or schedule.kind to cosine or linear or warmup-stable-decay',
    ],
    [
      'schedule: { kind: linear, decaySteps: 3 }',
      'a.yaml:2:39: schedule.decaySteps has no effect with schedule.kind: linear; set it to null, ' +
        'or schedule.kind to warmup-stable-decay',
    ],
  ])('%s', (line, message) => {
    expect(folder.refusal(`${corpus}${line}\n`)).toBe(message);
  });

  it('do not include the limits themselves, nor a run shorter than its warm-up', () => {
    const text = 'training: { steps: 99 }\noptimizer: { learningRate: 1e-4 }\nmodel: { heads: 128 }\n';
    expect(loadConfig(folder.write('a.yaml', corpus + text)).schedule.warmupSteps).toBe(100);
  });

  it.each([
    [
      '\u00a0seed: 1',
      'a.yaml:2:1: \u00a0seed is not a config key: it begins with the character U+00A0 (no-break space); did',
    ],
    [
      '\ufeffseed: 1',
      'a.yaml:2:1: \ufeffseed is not a config key: it begins with the character U+FEFF (byte order mark); did',
    ],
    ['s\u0435ed: 1', 'a.yaml:2:1: s\u0435ed is not a config key: it contains the character U+0435 (\u0435); did'],
    [
      'seed\u200b: 1',
      'a.yaml:2:1: seed\u200b is not a config key: it contains the character U+200B (zero-width space); did',
    ],
    ['"seed ": 1', 'a.yaml:2:1: seed  is not a config key: it contains the character U+0020 (space); did'],
  ])('name a character that no key has: %j', (line, message) => {
    expect(folder.refusal(`${corpus}${line}\n`)).toBe(`${message} you mean seed?`);
  });

  it('name the flag', () => {
    expect(folder.refusal(`${corpus}training: { steps: 300 }`, 'training.tokens=7919', 'training.steps=5')).toBe(
      '--set training.steps=5: only one of training.steps (--set training.steps=5) and training.tokens ' +
        '(--set training.tokens=7919) can set the length of the run; set the others to null',
    );
    expect(folder.refusal(corpus, 'model.heads=3')).toBe(
      '--set model.heads=3: model.heads (3) must divide model.width (128); e.g. model.heads: 2',
    );
  });
});

describe('text that is not a config', () => {
  const tens = (name: string) => `[${Array(10).fill(name).join(', ')}]`;
  it.each([
    ['nothing', '', 'a.yaml is empty; a config needs at least corpus: { sources: [{ path: … }] }'],
    ['comments only', '# soon\n', 'a.yaml is empty; a config needs at least corpus: { sources: [{ path: … }] }'],
    ['a list', '- seed: 3', 'a.yaml:1:1: a config must be a mapping of keys to values'],
    ['text', 'It is a truth', 'a.yaml:1:1: a config must be a mapping of keys to values'],
    ['a tab', 'model:\n\tlayers: 3\n', 'a.yaml:2:1: YAML cannot be indented with tabs; use spaces'],
    ['a duplicate key', 'seed: 1\nmodel: {}\nseed: 2\n', 'a.yaml:3:1: duplicate key in the same mapping; remove one'],
    ['a tag', 'model: !!python/object {}', 'a.yaml:1:8: YAML tags (!…) are not supported; remove it'],
    ['a list as key', '? [a]\n: 3\n', 'a.yaml:1:1: a key must be plain text'],
    [
      'a merge key',
      'seed: 1\nmodel:\n  <<: { layers: 2 }\n',
      'a.yaml:3:3: << is a merge key, which YAML 1.2 does not have. Write the keys out here, or put the common ones ' +
        'into a file of their own and name it in extends',
    ],
    ['an alias of nothing', 'model: *base\n', 'a.yaml:1:8: *base refers to an anchor that is not defined above it'],
    ['an alias of itself', 'model: &base { layers: *base }', 'a.yaml:1:14: nested more than 32 levels deep'],
    [
      'aliases of aliases',
      `a: &a ${tens('x')}\nb: &b ${tens('*a')}\nc: &c ${tens('*b')}\nd: &d ${tens('*c')}\n`,
      expect.stringMatching(/^a\.yaml:1:\d+: more than 10000 values after expanding aliases$/),
    ],
    ['endless brackets', '['.repeat(50_000), expect.stringMatching(/^a\.yaml:1:\d+: nested more than 32 levels deep$/)],
    [
      'two documents',
      'seed: 1\n---\nseed: 2\n',
      "a.yaml:2:1: a second YAML document begins here; a config is a single document, without '---' inside",
    ],
  ])('%s', (_, text, message) => {
    expect(folder.refusal(text)).toEqual(message);
  });

  it('an unclosed bracket, with the end of the text', () => {
    expect(folder.refusal(`${corpus}model: { layers: 3\n`)).toMatch(/^a\.yaml:3:1: not valid YAML: /);
  });

  it('bytes that are not UTF-8', () => {
    expect(folder.refusal(Uint8Array.of(0x61, 0xff))).toBe('a.yaml is not UTF-8 text');
  });

  it('a corpus by mistake', () => {
    expect(folder.refusal('x'.repeat((1 << 20) + 1))).toBe(
      'a.yaml is too large for a config: 1048577 bytes; is this the corpus?',
    );
  });

  it('a folder or a missing file', () => {
    mkdirSync(folder.path('sub'));
    expect(wrongInputMessage(() => loadConfig(folder.path('sub')))).toBe(
      `${folder.path('sub')} is a folder, not a config file`,
    );
    expect(wrongInputMessage(() => loadConfig(folder.path('gone.yaml')))).toBe(
      `${folder.path('gone.yaml')} does not exist`,
    );
  });

  it('invalid values of corpus.workers and corpus.cache', () => {
    const refused = (assignment: string) => folder.refusal(corpus, assignment);
    expect(refused('corpus.workers=0')).toContain('corpus.workers must be at least 1, but is 0');
    expect(refused('corpus.workers=1.5')).toContain('corpus.workers must be a whole number, but is 1.5');
    expect(refused('corpus.cache=""')).toContain('corpus.cache must');
    expect(refused('corpus.cache=3')).toContain('corpus.cache must be text or null, but is 3');
  });
});
