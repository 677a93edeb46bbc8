/** Keys of the model that follow from others, in the config.yaml of a run and in a user's config. */
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { renderConfig } from '../../src/config/resolved.ts';
import { corpus, useConfigFolder } from './configFolder.ts';

const folder = useConfigFolder();

/** Writes a config and the config.yaml of its run. */
function trained(model: string): { own: string; ofRun: string } {
  const own = folder.write('a.yaml', `${corpus}model: ${model}\n`);
  return { own, ofRun: folder.write('runs/a/config.yaml', renderConfig(loadConfig(own), folder.path('runs/a'))) };
}

describe('the config.yaml of a run', () => {
  it.each([
    ['{ width: 32, heads: 2 }', 'model.width=64'],
    ['{ width: 32, heads: 2 }', 'model.heads=4'],
    ['{ width: 32, heads: 2 }', 'model.family=llama'],
    ['{ width: 32, heads: 2, biases: true }', 'model.biases=false'],
    ['{ width: 48, heads: 4, keyValueHeads: 2, headSize: 16, feedForwardWidth: 96 }', 'model.width=96'],
    ['{ preset: qwen3-0.6b }', 'model.width=2048'],
  ])('of %s gives with %s the model that the config itself gives', (model, flag) => {
    const { own, ofRun } = trained(model);
    const changed = loadConfig(own, { set: [flag] }).model;
    expect(changed).not.toEqual(loadConfig(own).model);
    expect(loadConfig(ofRun, { set: [flag] }).model).toEqual(changed);
    expect(loadConfig(ofRun).model).toEqual(loadConfig(own).model);
  });

  it('gives it below a config that extends it, too', () => {
    const { own } = trained('{ width: 32, heads: 2 }');
    const extending = folder.write('b.yaml', 'extends: runs/a/config.yaml\nmodel: { width: 64 }\n');
    expect(loadConfig(extending).model).toEqual(loadConfig(own, { set: ['model.width=64'] }).model);
  });
});

describe('--set of a key that others follow from', () => {
  const said = (path: string, ...set: string[]): string[] => {
    const lines: string[] = [];
    loadConfig(path, { set, onReplaced: (line) => lines.push(line.replaceAll(`${folder.path('')}`, '')) });
    return lines;
  };

  it('names those that are written and do not follow', () => {
    const { own } = trained('{ width: 32, heads: 2, feedForwardWidth: 96 }');
    const place = /a\.yaml:\d+:\d+/;
    const [line, ...others] = said(own, 'model.width=64');
    expect(line).toMatch(/^model.feedForwardWidth stays 96 \(.*\) with --set model.width=64; .*Width=null$/);
    expect(line).toMatch(place);
    expect(others).toEqual([]);
    expect(said(own, 'model.width=64', 'model.feedForwardWidth=128')).toEqual([]);
    expect(said(own, 'model.layers=2')).toEqual([]);
  });

  it('names those of a run that follow', () => {
    const { ofRun } = trained('{ width: 32, heads: 2 }');
    expect(said(ofRun, 'model.width=64').map((line) => /^\S+|follows from .*$/g.exec(line)![0])).toEqual([
      'model.headSize',
      'model.feedForwardWidth',
    ]);
    expect(said(ofRun, 'training.steps=9')).toEqual([]);
  });
});
