/** A `--set` of one of several keys that exclude each other replaces what files set, and says so. */
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { configValue } from '../../src/config/resolved.ts';
import { useConfigFolder } from './configFolder.ts';

const folder = useConfigFolder();

function loaded(text: string, set: string[]) {
  folder.write('a.yaml', `corpus: { sources: [{ path: x.txt }]${text}\n`);
  const said: string[] = [];
  const config = loadConfig(folder.path('a.yaml'), { set, onReplaced: (message) => said.push(message) });
  return { said, value: (key: string) => configValue(config, key.split('.')) };
}

describe('--set of a choice', () => {
  it.each([
    [', validation: { tail: 0.2 } }', 'corpus.validation.hash=0.01', 'corpus.validation.tail', 0.2],
    [', validation: { path: v.txt } }', 'corpus.validation={ tail: 0.3 }', 'corpus.validation.path', 'v.txt'],
    [' }\ntraining: { epochs: 3 }', 'training.steps=7', 'training.epochs', 3],
    [' }\ntokenizer: { kind: bpe, vocabularySize: 300 }', 'tokenizer.kind=bytes', 'tokenizer.vocabularySize', 300],
    [' }\ntokenizer: { kind: file, path: t.json }', 'tokenizer.kind=characters', 'tokenizer.path', 't.json'],
    [' }\nschedule: { finalLearningRate: 1e-5 }', 'schedule.kind=constant', 'schedule.finalLearningRate', 1e-5],
    [' }\nschedule: { kind: warmup-stable-decay, decaySteps: 9 }', 'schedule.kind=linear', 'schedule.decaySteps', 9],
    [' }\noptimizer: { kind: muon, momentum: 0.9 }', 'optimizer.kind=adamw', 'optimizer.momentum', 0.9],
    [' }\nevaluation: { patience: 4 }', 'evaluation.everySteps=null', 'evaluation.patience', 4],
    [' }\nmodel: { family: llama, nopeEveryLayers: 4 }', 'model.family=gpt2', 'model.nopeEveryLayers', 4],
  ])('%s, %s replaces %s', (text, flag, replaced, before) => {
    expect(loaded(text, []).value(replaced)).toEqual(
      typeof before === 'string' ? expect.stringContaining(before) : before,
    );
    const { value, said } = loaded(text, [flag]);
    expect(value(replaced)).toBe(null);
    expect(said).toEqual([
      expect.stringMatching(
        `^--set ${flag.replace(/[{}.]/g, '\\$&')} replaces ${replaced}: .* \\(.*a.yaml:\\d+:\\d+\\)$`,
      ),
    ]);
  });

  it('puts back a default that is not null', () => {
    const { value, said } = loaded(' }\nmodel: { family: llama, ropeTheta: 5e5 }', ['model.family=gpt2']);
    expect({ theta: value('model.ropeTheta'), said: said.length }).toEqual({ theta: 10_000, said: 1 });
  });

  it('replaces inside the same entry of a list', () => {
    folder.write(
      'b.yaml',
      'corpus: { sources: [{ path: x, weight: 1, finalWeight: 2 }, { path: y, weight: 1, finalWeight: 3 }] }\n',
    );
    const set = ['corpus.sources[1].weightsAtSteps=[{ step: 5, weight: 0.5 }]'];
    const { sources } = loadConfig(folder.path('b.yaml'), { set }).corpus;
    expect(sources.map(({ finalWeight }) => finalWeight)).toEqual([2, null]);
  });

  it('says nothing where nothing is replaced, and keeps what null does not choose', () => {
    expect(loaded(' }\ntraining: { steps: 3 }', ['training.epochs=null']).value('training.steps')).toBe(3);
    expect(loaded(' }\ntokenizer: { kind: bytes }', ['tokenizer.kind=characters']).said).toEqual([]);
  });

  it('refuses two flags that exclude each other', () => {
    expect(() => loaded(' }', ['corpus.validation.hash=0.1', 'corpus.validation.tail=0.1'])).toThrow(/only one of/);
  });
});
