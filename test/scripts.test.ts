import { describe, expect, it } from 'vitest';
import { headerOf, helpOf, scriptsOf } from '../scripts/lib/listing.mjs';

describe('scripts', () => {
  const all = ['check', 'measure', 'compare'].flatMap((folder) =>
    scriptsOf(folder).map((script) => ({ folder, ...script })),
  );

  it('are found in their folders and subfolders, without the parts of a script', () => {
    const names = all.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(['kills', 'soak', 'sampling', 'pytorch']));
    expect(names).not.toContain('slope'); // a part of soak
    expect(new Set(all.map(({ folder, name }) => `${folder} ${name}`)).size).toBe(all.length);
  });

  it('say in their headers what they do, how they are called and how long they take', () => {
    const problems = all.flatMap(({ folder, name, file }) => {
      const { summary, time } = headerOf(file);
      const isComplete =
        /^.{1,119}\.$/.test(summary) &&
        /\d|MINUTES/.test(time ?? '') &&
        helpOf(file).includes(`npm run ${folder} -- ${name}`);
      return isComplete ? [] : [`${folder} ${name}: ${summary} ${time}`];
    });
    expect(problems).toEqual([]);
  });
});
