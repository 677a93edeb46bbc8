import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { leafKeys } from '../../src/config/keys.ts';
import { loadConfig, parseResolvedConfig } from '../../src/config/load.ts';
import { configValue, renderConfig, resumeDifferences } from '../../src/config/resolved.ts';
import { corpus, useConfigFolder, wrongInputMessage } from './configFolder.ts';

const folder = useConfigFolder();

describe('renderConfig and parseResolvedConfig', () => {
  it('return an equal, frozen config', () => {
    const text = `${corpus}training: { epochs: 1.5 }\ncheckpoints: { keepLast: null }\noptimizer: { epsilon: 1e-7 }\n`;
    const config = loadConfig(folder.write('a.yaml', text));
    const again = parseResolvedConfig(renderConfig(config), '/elsewhere/config.yaml');
    expect(again).toEqual(config);
    expect(again.name).toBe('a');
    expect(Object.isFrozen(again.model)).toBe(true);
    expect(renderConfig(again)).toBe(renderConfig(config));
  });

  it('preserve any text and any path', () => {
    const path = folder.write('a.yaml', corpus);
    const words = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom(
        '\n',
        '  x ',
        '# y',
        'null',
        '1e3',
        "'",
        '"',
        ': ',
        '- a\n\n',
        '\r\n',
        '\t',
        '\u2028',
        '&a',
        '*a',
        '!t',
      ),
    );
    fc.assert(
      fc.property(words, words, (prompt, name) => {
        const config = loadConfig(path, {
          set: [`samples.prompt=${JSON.stringify(prompt)}`, `corpus.sources[0].path=${JSON.stringify(`/${name}x`)}`],
        });
        expect(config.samples.prompt).toBe(prompt);
        expect(parseResolvedConfig(renderConfig(config), 'config.yaml')).toEqual(config);
      }),
      { numRuns: 200, seed: 17 },
    );
  });

  it('show every key of the schema', () => {
    const config = loadConfig(folder.write('a.yaml', corpus));
    const missing = leafKeys().filter((path) => configValue(config, path) === undefined);
    expect(missing).toEqual([]);
    expect(leafKeys().length).toBeGreaterThan(30);
  });

  it('refuse a damaged text, naming its path', () => {
    const text = renderConfig(loadConfig(folder.write('a.yaml', corpus))).replace('layers: 4', 'layers: 4.5');
    expect(wrongInputMessage(() => parseResolvedConfig(text, 'runs/a/config.yaml'))).toMatch(
      /^runs\/a\/config\.yaml:\d+:11: model\.layers must be a whole number, but is 4\.5$/,
    );
    expect(wrongInputMessage(() => parseResolvedConfig('', 'runs/a/config.yaml'))).toContain(
      'runs/a/config.yaml is empty',
    );
  });
});

describe('resumeDifferences', () => {
  const load = (...set: string[]) => loadConfig(folder.write('a.yaml', corpus), { set });

  it('lets the length, schedule, evaluation, checkpoints, samples and reports change', () => {
    const changed = load(
      'training.epochs=3',
      'schedule.warmupSteps=7',
      'schedule.finalLearningRate=0',
      'evaluation.everySteps=11',
      'checkpoints.everySteps=null',
      'checkpoints.keepLast=5',
      'samples.prompt=Once',
      'samples.topK=13',
      'reports.everySteps=17',
      'corpus.workers=3',
      'corpus.cache=tokens',
    );
    expect(changed).not.toEqual(load());
    expect(resumeDifferences(load(), changed)).toEqual([]);
    expect(resumeDifferences(load('training.tokens=7919'), load())).toEqual([]);
  });

  it.each([
    ['name=b', 'name'],
    ['seed=2', 'seed'],
    ['device=cpu', 'device'],
    ['corpus.sources[1]={path: /more.txt}', 'corpus.sources'],
    ['corpus.validation.tail=0.2', 'corpus.validation.tail'],
    ['corpus.shuffleTokens=1031', 'corpus.shuffleTokens'],
    ['tokenizer.kind=bytes', 'tokenizer.kind'],
    ['model.dropout=0.1', 'model.dropout'],
    ['training.microBatchSize=5', 'training.microBatchSize'],
    ['training.precision=bfloat16', 'training.precision'],
    ['optimizer.betas=[0.9, 0.95]', 'optimizer.betas'],
    ['optimizer.gradientClip=null', 'optimizer.gradientClip'],
    ['optimizer.kind=muon', 'optimizer.kind'],
    ['training.recompute=block', 'training.recompute'],
    ['training.emaDecay=0.99', 'training.emaDecay'],
    ['training.guard.outlierDeviations=6', 'training.guard.outlierDeviations'],
  ])('names the key that %s changes', (assignment, key) => {
    expect(resumeDifferences(load(), load(assignment))).toEqual([key]);
  });

  it('names all keys, in the order of the schema', () => {
    expect(resumeDifferences(load(), load('optimizer.weightDecay=0', 'model.layers=2', 'seed=3'))).toEqual([
      'seed',
      'model.layers',
      'optimizer.weightDecay',
    ]);
  });
});
