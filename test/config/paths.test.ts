import { readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { loadConfig, parseResolvedConfig } from '../../src/config/load.ts';
import { pathNotes, placedConfig } from '../../src/config/paths/absolutePaths.ts';
import { renderConfig } from '../../src/config/resolved.ts';
import { useConfigFolder, wrongInputMessage } from './configFolder.ts';

const folder = useConfigFolder();
const everyPath = `corpus:
  sources: [{ path: text.txt }, { path: 'texts/*.txt' }, { path: '-' }]
  validation: { path: held-out.txt }
  cache: cache
tokenizer: { kind: file, path: tok.json }
`;

/** A run in project/runs/a, as training writes its config.yaml; the files that the config names are there. */
function writeProject(): { file: string; paths: string[] } {
  for (const name of ['text.txt', 'texts/b.txt', 'held-out.txt', 'cache/x', 'tok.json'])
    folder.write(join('project', name), name);
  const config = loadConfig(folder.write('project/my.yaml', everyPath));
  const text = renderConfig(config, folder.path('project/runs/a'));
  expect(text).toContain('path: ../../text.txt');
  return { file: folder.write('project/runs/a/config.yaml', text), paths: pathsOf(config) };
}

const pathsOf = ({ corpus, tokenizer }: ReturnType<typeof loadConfig>): string[] =>
  [...corpus.sources.map(({ path }) => path), corpus.validation.path, corpus.cache, tokenizer.path].map(String);

const read = (file: string) => placedConfig((choice) => parseResolvedConfig(readFileSync(file, 'utf8'), file, choice));

describe('the paths of a config.yaml', () => {
  it('are the same again where it was written, and move with the folder that it is in', () => {
    const { file, paths } = writeProject();
    expect(pathsOf(read(file).config)).toEqual(paths);
    expect(read(file).formerConfig).toBeUndefined();
    renameSync(folder.path('project'), folder.path('project2'));
    const moved = read(folder.path('project2/runs/a/config.yaml'));
    expect(pathsOf(moved.config)).toEqual(paths.map((path) => path.replace('/project/', '/project2/')));
    expect(pathNotes(moved, moved.config)).toEqual([]);
  });

  it('are where they were if the run is moved alone, which is said', () => {
    const { file, paths } = writeProject();
    const alone = folder.write('elsewhere/deep/down/config.yaml', readFileSync(file));
    const placed = read(alone);
    expect(pathsOf(placed.config)).toEqual(paths);
    const notes = pathNotes(placed, placed.config);
    expect(notes).toHaveLength(5); // all but standard input
    expect(notes).toContain(
      `corpus.sources[0].path: ${folder.path('elsewhere/text.txt')} does not exist; taken from ` +
        folder.path('project/text.txt'),
    );
    rmSync(folder.path('project'), { recursive: true });
    expect(pathsOf(read(alone).config)[0]).toBe(folder.path('elsewhere/text.txt'));
  });

  it('lead to what is beside it first, and the other place is known', () => {
    const { file, paths } = writeProject();
    folder.write('other/text.txt', 'of another project');
    folder.write('other/texts/z.txt', 'of another project');
    const placed = read(folder.write('other/runs/a/config.yaml', readFileSync(file)));
    expect(placed.config.corpus.sources[0]!.path).toBe(folder.path('other/text.txt'));
    expect(placed.config.corpus.sources[1]!.path).toBe(folder.path('other/texts/*.txt'));
    expect(placed.config.tokenizer.path).toBe(folder.path('project/tok.json'));
    expect(pathsOf(placed.formerConfig!)).toEqual(paths);
    expect(pathNotes(placed, placed.formerConfig!).at(-1)).toContain('is not the text that the run began with');
  });

  it('are also found by a config that extends it, or with --set', () => {
    const { file, paths } = writeProject();
    folder.write('moved/config.yaml', readFileSync(file));
    const said: string[] = [];
    const extending = loadConfig(folder.write('b.yaml', 'extends: moved/config.yaml\nseed: 3\n'), {
      set: ['seed=4'],
      onReplaced: (message) => said.push(message),
    });
    expect(pathsOf(extending)).toEqual(paths);
    expect(said).toHaveLength(5);
    expect(said[0]).toMatch(/^corpus\.sources\[0\]\.path: .* does not exist; taken from /);
  });

  it('that are absolute, as earlier versions wrote them, stay', () => {
    const { paths } = writeProject();
    const text = renderConfig(loadConfig(folder.path('project/my.yaml')));
    expect(pathsOf(read(folder.write('x/config.yaml', text)).config)).toEqual(paths);
  });

  it('may have any characters', () => {
    const names = fc.string({ unit: 'binary', minLength: 1 }).filter((name) => !/\0/.test(name));
    fc.assert(
      fc.property(names, (name) => {
        const set = [`corpus.sources[0].path=${JSON.stringify(`./${name}`)}`];
        const config = loadConfig(folder.write('a.yaml', 'corpus: { sources: [{ path: x }] }'), { set });
        const text = renderConfig(config, folder.path('runs/a'));
        expect(parseResolvedConfig(text, folder.path('runs/a/config.yaml'))).toEqual(config);
      }),
      { numRuns: 100, seed: 5 },
    );
  });

  it('are refused if formerPaths is not a mapping of texts', () => {
    const text = 'corpus: { sources: [{ path: x }] }\nformerPaths: [3]\n';
    expect(wrongInputMessage(() => parseResolvedConfig(text, 'config.yaml'))).toContain(
      'config.yaml:2:14: formerPaths must be a mapping of paths to absolute paths',
    );
  });
});
