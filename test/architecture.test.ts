/** The rules of the structure, one test a rule; each lists every file that breaks it. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { globSync } from 'tinyglobby';
import { describe, expect, it } from 'vitest';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const files = globSync('src/**/*.ts', { cwd: root }).sort();
const kernels = globSync('native/**/*.{cc,h}', { cwd: root }).sort();
const scripts = globSync('scripts/**/*.{mjs,py,cc}', { cwd: root }).sort();
const texts = new Map(
  [...files, ...kernels, ...scripts].map((file) => [file, readFileSync(path.join(root, file), 'utf8')]),
);
const textOf = (file: string): string => texts.get(file)!;

interface Import {
  /** As written, e.g. "../run/lock.ts" or "koffi". */
  from: string;
  /** The file meant, from the root; undefined for a package. */
  target: string | undefined;
  typeOnly: boolean;
}

const imports = new Map<string, Import[]>(
  files.map((file) => [
    file,
    Array.from(
      textOf(file).matchAll(/(?:^|\n)\s*(?:import|export)\s+(type\s)?[^;]*?from\s+'([^']+)'|import\('([^']+)'\)/g),
      ([, typeOnly, from, lazy]) => {
        const name = (from ?? lazy)!;
        const target = name.startsWith('.') ? path.join(path.dirname(file), name) : undefined;
        return { from: name, target, typeOnly: typeOnly !== undefined };
      },
    ),
  ]),
);
const importsOf = (file: string): Import[] => imports.get(file)!;
/** The folder directly below src; '' for a file of src itself. */
const folderOf = (file: string): string => (file.split('/').length > 2 ? file.split('/')[1]! : '');

/** What each folder of src may import from the others. Everybody may import src/errors.ts and src/random.ts. */
const mayImport: Record<string, string[]> = {
  // api.ts, the entry point of the package
  '': ['api', 'config', 'data', 'experiments', 'run', 'sampling', 'training'],
  api: [...['config', 'storage', 'run', 'checkpoint', 'data', 'sampling', 'training', 'experiments', 'processes']],
  config: ['storage'],
  storage: [],
  tensors: ['storage'],
  run: ['config', 'storage'],
  runtime: ['storage', 'tensors'],
  ops: ['runtime'],
  processes: ['storage', 'runtime'],
  model: ['config', 'tensors', 'ops', 'runtime'],
  data: ['config', 'storage'],
  checkpoint: ['config', 'storage', 'tensors', 'run'],
  sampling: ['config', 'storage', 'tensors', 'run', 'checkpoint', 'data', 'model', 'ops', 'runtime'],
  training: [
    ...['config', 'storage', 'tensors', 'run', 'checkpoint', 'data', 'model', 'ops', 'runtime', 'sampling'],
    'processes',
  ],
  huggingface: ['config', 'storage', 'tensors', 'run', 'checkpoint', 'data', 'model'],
  gguf: ['config', 'storage', 'tensors', 'run', 'checkpoint', 'data', 'model', 'huggingface'],
  experiments: ['config', 'storage', 'run', 'checkpoint', 'data', 'training'],
  checks: [
    ...['config', 'storage', 'tensors', 'run', 'checkpoint', 'data', 'model', 'ops', 'runtime', 'sampling', 'training'],
  ],
  server: [
    ...['config', 'storage', 'tensors', 'run', 'checkpoint', 'data', 'model', 'ops', 'runtime', 'sampling', 'training'],
    'experiments',
  ],
  cli: [
    ...['config', 'storage', 'tensors', 'run', 'checkpoint', 'data', 'model', 'ops', 'runtime', 'sampling', 'training'],
    ...['huggingface', 'gguf', 'experiments', 'checks', 'server', 'processes'],
  ],
};

const offenders = (all: readonly string[], problemOf: (file: string) => string | false | undefined): string[] =>
  all.flatMap((file) => {
    const problem = problemOf(file);
    return problem ? [`${file}: ${problem}`] : [];
  });

/** One call of the C library, which Node lacks; the only native code outside runtime/. */
const kernelLock = 'src/storage/kernelLock.ts';

describe('the structure of the code', () => {
  it('is read by this test at all', () => {
    expect(files.length).toBeGreaterThan(200);
    expect(kernels).toContain('native/kernels/norms.cc');
    expect(scripts.length).toBeGreaterThan(40);
    expect(importsOf('src/training/run.ts').map(({ target }) => target)).toContain('src/training/train.ts');
    expect(importsOf('src/cli/commands.ts').some(({ target }) => target?.startsWith('src/cli/commands/'))).toBe(true);
  });

  it('has folders that import only what lies below them', () => {
    expect(
      offenders(files, (file) => {
        const folder = folderOf(file);
        const wrong = importsOf(file)
          .map(({ target }) => target && folderOf(target))
          .filter((to) => to && to !== folder && !mayImport[folder]!.includes(to));
        return wrong.length > 0 && `imports ${[...new Set(wrong)].join(', ')}`;
      }),
    ).toEqual([]);
  });

  it('opens native code in runtime/ alone, and knows tensors only above it', () => {
    const tensorless = ['config', 'storage', 'tensors', 'run', 'checkpoint', 'data', 'experiments'];
    expect(
      offenders(files, (file) => {
        const folder = folderOf(file);
        const isNative =
          /@tensorflow\/tfjs-node/.test(textOf(file)) || importsOf(file).some(({ from }) => from === 'koffi');
        if (isNative && folder !== 'runtime' && file !== kernelLock) return 'native code';
        const knowsTensors = importsOf(file).some(
          ({ from, target }) => target === 'src/tfjs.ts' || from.startsWith('@tensorflow'),
        );
        return tensorless.includes(folder) && knowsTensors && 'tfjs';
      }),
    ).toEqual([]);
  });

  it('makes no hard links, which many file systems do not have', () => {
    expect(offenders(files, (file) => /\blink(Sync)?\(/.exec(textOf(file))?.[0])).toEqual([]);
  });

  it('picks the form of an operation in ops/ alone', () => {
    const mayUseKernels = /^src\/(ops|training\/optimizers)\//;
    expect(
      offenders(files, (file) => {
        const isUsed = importsOf(file).some(({ target }) => target === 'src/ops/kernels.ts');
        return !mayUseKernels.test(file) && (isUsed || textOf(file).includes('kernelsInUse(')) && 'asks for kernels';
      }).filter((offender) => !offender.startsWith('src/runtime/recording.ts')),
    ).toEqual([]);
  });

  it('manages lifetimes of tensors in runtime/ alone', () => {
    expect(
      offenders(files, (file) => folderOf(file) !== 'runtime' && /\b(tidy|dispose|keep)\(/.exec(textOf(file))?.[0]),
    ).toEqual([]);
  });

  it('prints in cli/ alone, and exits in its main.ts alone', () => {
    expect(
      offenders(files, (file) => {
        if (file === 'src/cli/main.ts') return false;
        const printing = /console\.|process\.(stdout|stderr)\b/.exec(textOf(file))?.[0];
        return /process\.exit\(/.exec(textOf(file))?.[0] ?? (folderOf(file) !== 'cli' && printing);
      }),
    ).toEqual([]);
  });

  it('has no import cycle, of types neither', () => {
    const cleared = new Set<string>();
    const cycleFrom = (file: string, way: string[]): string[] | undefined => {
      if (way.includes(file)) return [...way.slice(way.indexOf(file)), file];
      if (cleared.has(file)) return undefined;
      const targets = importsOf(file).flatMap(({ target }) => target ?? []);
      const cycle = targets.map((target) => cycleFrom(target, [...way, file])).find((found) => found !== undefined);
      cleared.add(file);
      return cycle;
    };
    expect(files.map((file) => cycleFrom(file, [])).find((found) => found !== undefined)).toBeUndefined();
    expect(cleared.size).toBeGreaterThan(files.length / 2);
  });

  it('loads nothing native but the lock to plan, prepare or refuse a run', () => {
    const seen = new Set<string>();
    const native: string[] = [];
    const visit = (file: string): void => {
      if (seen.has(file)) return;
      seen.add(file);
      for (const { from, target, typeOnly } of importsOf(file)) {
        if (typeOnly) continue;
        if (/^@tensorflow|^koffi/.test(from) && file !== kernelLock) native.push(`${file}: ${from}`);
        if (target) visit(target);
      }
    };
    visit('src/training/prepare.ts');
    for (const command of ['train/plan', 'text/data', 'experiments/sweep']) visit(`src/cli/commands/${command}.ts`);
    expect(seen.size).toBeGreaterThan(20);
    expect(native).toEqual([]);
  });

  it('has files of at most 300 lines', () => {
    const lines = (file: string): number => textOf(file).split('\n').length - 1;
    expect(
      offenders([...files, ...kernels, ...scripts], (file) => lines(file) > 300 && `${lines(file)} lines`),
    ).toEqual([]);
  });

  it('has lines of at most 120 columns', () => {
    const tests = globSync('test/**/*.{ts,py}', { cwd: root });
    expect(tests.length).toBeGreaterThan(90);
    const isLong = (line: string): boolean => [...line].length > 120;
    expect(
      offenders([...files, ...kernels, ...scripts, ...tests], (file) => {
        const number = readFileSync(path.join(root, file), 'utf8').split('\n').findIndex(isLong) + 1;
        return number > 0 && `line ${number}`;
      }),
    ).toEqual([]);
  });

  it('has files that say first what they are', () => {
    const header = /^\/\*\*|^\/\/ |^"""|^# /;
    expect(
      offenders(
        [...files, ...kernels, ...scripts],
        (file) => !header.test(textOf(file).replace(/^#!.*\n/, '')) && 'no header',
      ),
    ).toEqual([]);
  });

  it('has folders of at most sixteen files', () => {
    const counts = new Map<string, number>();
    for (const file of globSync(['src/**/*', 'native/**/*', 'scripts/**/*'], { cwd: root })) {
      counts.set(path.dirname(file), (counts.get(path.dirname(file)) ?? 0) + 1);
    }
    expect(counts.get('src/training')).toBeGreaterThan(3);
    expect([...counts].filter(([, count]) => count > 16)).toEqual([]);
  });

  it('has no folder or file for whatever is left over', () => {
    const name = /(^|\/)(utils?|common|helpers?|managers?|trainer|shared|misc|index)(\/|\.ts$)/i;
    expect(files.filter((file) => name.test(file))).toEqual([]);
  });
});
