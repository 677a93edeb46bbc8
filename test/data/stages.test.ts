import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import path from 'node:path';
import { globSync } from 'tinyglobby';
import { expect, test } from 'vitest';

const folder = fileURLToPath(new URL('../../src/data/', import.meta.url));
const map = readFileSync(path.join(folder, 'README.md'), 'utf8');

test('the stages that file headers name are in the map', () => {
  const stages = new Set(Array.from(map.matchAll(/^\d\. \*\*(.+?)\*\*/gm), ([, stage]) => stage));
  expect(stages.size).toBe(9);
  const named = globSync('**/*.ts', { cwd: folder }).flatMap((file) => {
    const stage = /^\/\*\*(?:\n \*)? Stage: ([a-z -]+)/.exec(readFileSync(path.join(folder, file), 'utf8'))?.[1];
    return stage === undefined ? [] : [stage.trim()];
  });
  expect(new Set(named).size).toBeGreaterThan(5);
  expect(named.filter((stage) => !stages.has(stage))).toEqual([]);
});

test('the files that the map names exist', () => {
  const files = Array.from(map.matchAll(/`([A-Za-z0-9/]+\.ts)`/g), ([, file]) => file!);
  expect(files.length).toBeGreaterThan(15);
  expect(files.filter((file) => !existsSync(path.join(folder, file)))).toEqual([]);
});
