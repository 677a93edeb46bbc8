/** What the maps of the code name exists: src/README.md and CONTRIBUTING.md name files, headers name stages. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { globSync } from 'tinyglobby';
import { describe, expect, it } from 'vitest';

const root = path.resolve(import.meta.dirname, '..');
const read = (file: string): string => readFileSync(path.join(root, file), 'utf8');
const quoted = (file: string): string[] => Array.from(read(file).matchAll(/`([\w./-]+)`/g), ([, name]) => name!);
const isPath = (name: string): boolean => /\/|\.(ts|md|mjs|cc|h)$/.test(name);
const stages = Array.from(read('src/README.md').matchAll(/^\| \d+ \| ([^|]+?) \|/gm), ([, name]) => name!);

describe('the maps of the code', () => {
  it('src/README.md names files and folders that exist', () => {
    const named = quoted('src/README.md').filter(isPath);
    const missing = named.filter(
      (name) =>
        !['src', '.', 'src/cli', 'src/training', 'src/data'].some((folder) =>
          existsSync(path.join(root, folder, name)),
        ),
    );
    expect(named.length).toBeGreaterThan(25);
    expect(missing.filter((name) => name !== 'metrics.jsonl')).toEqual([]);
  });

  it('CONTRIBUTING.md names files and folders that exist', () => {
    const named = quoted('CONTRIBUTING.md').filter((name) => /^(src|test|scripts|native|configs|docs)\/./.test(name));
    expect(named.length).toBeGreaterThan(20);
    expect(named.filter((name) => !existsSync(path.join(root, name)))).toEqual([]);
  });

  it('README.md is at most 8 KiB', () => {
    expect(Buffer.byteLength(read('README.md'))).toBeLessThanOrEqual(8192);
  });

  it('headers refer to stages that src/README.md numbers', () => {
    expect(stages).toContain('token windows');
    const files = globSync(['src/**/*.ts', 'native/**/*.{cc,h}'], { cwd: root });
    const wrong = files.flatMap((file) =>
      Array.from(read(file).matchAll(/Stage: ([^(.]+?) \(src\/README\.md\)|[Rr]ow \d+ of the walk/g))
        .filter(([, stage]) => !stages.includes(stage!))
        .map(([text]) => `${file}: ${text}`),
    );
    expect(wrong).toEqual([]);
  });

  it('links of the pages at the top lead somewhere', () => {
    const pages = [
      'README.md',
      'CONTRIBUTING.md',
      'CHANGELOG.md',
      'src/README.md',
      'src/data/README.md',
      'scripts/README.md',
      'native/README.md',
    ];
    const dead = pages
      .filter((page) => existsSync(path.join(root, page)))
      .flatMap((page) =>
        Array.from(
          read(page)
            .replace(/^```[^]*?^```/gm, '')
            .matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g),
          ([, target]) => target!,
        )
          .filter((target) => !/^https?:/.test(target) && !existsSync(path.join(root, path.dirname(page), target)))
          .map((target) => `${page} → ${target}`),
      );
    expect(dead).toEqual([]);
  });
});
