import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { globSync } from 'tinyglobby';
import { describe, expect, it } from 'vitest';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const files = globSync('src/**/*.ts', { cwd: root }).sort();
const kernels = globSync('src/**/*.{cc,h}', { cwd: root }).sort();
const folderOf = (file: string): string => (file.split('/').length > 2 ? file.split('/')[1]! : '');
const importsOf = (file: string): { from: string; typeOnly: boolean }[] =>
  Array.from(
    readFileSync(path.join(root, file), 'utf8').matchAll(
      /(?:^|\n)\s*(?:import|export)\s+(type\s)?[^;]*?from\s+'([^']+)'|import\('([^']+)'\)/g,
    ),
    ([, typeOnly, from, lazy]) => ({ from: (from ?? lazy)!, typeOnly: typeOnly !== undefined }),
  );

/** What a folder may import of the others; errors and random numbers are everybody's. */
const mayImport: Record<string, string[]> = {
  '': ['sampling', 'data'], // api.ts, the door for scripts
  config: [],
  data: ['config', 'checkpoint'], // durable writes, of the token cache
  checkpoint: ['config'],
  model: ['config', 'runtime', 'checkpoint'],
  runtime: ['checkpoint'],
  sampling: ['config', 'data', 'model', 'runtime', 'checkpoint'],
  training: ['config', 'data', 'model', 'runtime', 'checkpoint', 'sampling'],
  huggingface: ['config', 'data', 'model', 'checkpoint'],
  experiments: ['config', 'checkpoint', 'training'],
  cli: ['config', 'data', 'model', 'runtime', 'checkpoint', 'sampling', 'training', 'huggingface', 'experiments'],
};
/** The shape in which tensors travel between memory and disk is a type, no more. */
const typeOnlyImports = new Set(['runtime → checkpoint', 'model → checkpoint']);

describe('the structure of the code', () => {
  it('reads imports at all', () => {
    expect(files.length).toBeGreaterThan(40);
    expect(kernels).toContain('src/runtime/kernels/norms.cc');
    expect(importsOf('src/cli/train.ts').map(({ from }) => from)).toContain('../training/run.ts');
    expect(importsOf('src/cli/main.ts').map(({ from }) => from)).toContain('./train.ts');
  });

  it.each(files)('%s imports only what its folder may', (file) => {
    const folder = folderOf(file);
    for (const { from, typeOnly } of importsOf(file)) {
      if (!from.startsWith('.')) continue;
      const target = folderOf(path.join(path.dirname(file), from));
      if (target === folder || target === '') continue;
      expect(mayImport[folder], `${file} imports ${from}`).toContain(target);
      if (typeOnlyImports.has(`${folder} → ${target}`)) expect(typeOnly, `${file} imports ${from}`).toBe(true);
    }
  });

  it.each(files)('%s opens no door to native code, and knows tensors only where it may', (file) => {
    const folder = folderOf(file);
    const packages = importsOf(file)
      .map(({ from }) => from)
      .filter((from) => !from.startsWith('.'));
    const text = readFileSync(path.join(root, file), 'utf8');
    if (folder !== 'runtime') {
      expect(packages).not.toContain('koffi');
      expect(text).not.toContain('@tensorflow/tfjs-node');
    }
    if (['config', 'data', 'checkpoint'].includes(folder)) {
      expect(packages.filter((name) => name.startsWith('@tensorflow'))).toEqual([]);
    }
  });

  it.each(files)('%s leaves lifetimes, printing and exiting to those whose job it is', (file) => {
    const text = readFileSync(path.join(root, file), 'utf8');
    const folder = folderOf(file);
    if (folder !== 'runtime') expect(text).not.toMatch(/\b(tidy|dispose|keep)\(/);
    if (folder !== 'cli') expect(text).not.toMatch(/console\.|process\.(exit|stdout|stderr)\b/);
    if (file !== 'src/cli/main.ts') expect(text).not.toMatch(/process\.exit\(/);
  });

  it('imports in no circle, of types neither', () => {
    const targets = (file: string): string[] =>
      importsOf(file)
        .filter(({ from }) => from.startsWith('.'))
        .map(({ from }) => path.join(path.dirname(file), from));
    const cleared = new Set<string>();
    const circleFrom = (file: string, way: string[]): string[] | undefined => {
      if (way.includes(file)) return [...way.slice(way.indexOf(file)), file];
      if (cleared.has(file)) return undefined;
      const circle = targets(file)
        .map((target) => circleFrom(target, [...way, file]))
        .find((found) => found !== undefined);
      cleared.add(file);
      return circle;
    };
    expect(files.map((file) => circleFrom(file, [])).find((found) => found !== undefined)).toBeUndefined();
    expect(cleared.size).toBeGreaterThan(files.length / 2);
  });

  it.each([...files, ...kernels])('%s has at most 300 lines and says first what it is', (file) => {
    const text = readFileSync(path.join(root, file), 'utf8');
    expect(text.split('\n').length).toBeLessThanOrEqual(301);
    expect(text.replace(/^#!.*\n/, '')).toMatch(/^\/\*\*|^\/\/ /);
  });

  it('loads nothing native to plan, prepare or refuse a run', () => {
    const seen = new Set<string>();
    const visit = (file: string): void => {
      if (seen.has(file)) return;
      seen.add(file);
      for (const { from, typeOnly } of importsOf(file)) {
        if (typeOnly) continue;
        expect(from, `${file} on the way of training/prepare.ts`).not.toMatch(/^@tensorflow|^koffi/);
        if (from.startsWith('.')) visit(path.join(path.dirname(file), from));
      }
    };
    visit('src/training/prepare.ts');
    expect(seen.size).toBeGreaterThan(20);
  });

  it('names no drawer', () => {
    expect(files.filter((file) => /(util|common|helper|manager|trainer|index)\w*\.ts$/i.test(file))).toEqual([]);
  });
});
