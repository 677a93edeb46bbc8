/** Every export of the package has a doc comment that says what a caller needs, and is on its page in the docs. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

const root = path.resolve(import.meta.dirname, '../..');
const read = (file: string): string => readFileSync(path.join(root, file), 'utf8');
const page = read('docs/api.md');

interface Export {
  name: string;
  isType: boolean;
  text: string;
}

const exported: Export[] = Array.from(
  read('src/api.ts').matchAll(/^export (type )?\{([^}]+)\} from '\.\/([^']+)';$/gm),
  ([, type, names = '', file = '']) =>
    names
      .split(',')
      .map((name) => name.trim())
      .filter((name) => name !== '')
      .map((name) => ({ name, isType: type !== undefined, text: read(`src/${file}`) })),
).flat();

/** The doc comment right before a declaration, and the declaration's first line. */
function declarationOf({ name, text }: Export): { comment: string; line: string; body: string } {
  const found = new RegExp(
    `(/\\*\\*(?:(?!\\*/)[^])*\\*/)\\n(export (?:async )?(?:function\\*?|class|interface|type|const) ${name}\\b[^\\n]*)`,
  ).exec(text);
  const end = found === null ? 0 : text.indexOf('\n}', found.index + found[1]!.length);
  return {
    comment: found?.[1] ?? '',
    line: found?.[2] ?? '',
    body: found === null ? '' : text.slice(found.index + found[1]!.length, end),
  };
}

describe('the exports of the package', () => {
  it('are found by this test', () => {
    expect(read('src/api.ts').match(/^export /gm)).toHaveLength(read('src/api.ts').match(/^export .*[{,]?$/gm)!.length);
    expect(exported.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['train', 'openRun', 'ConfigError', 'Fact']),
    );
    expect(exported.length).toBeGreaterThan(30);
  });

  it.each(exported.map((each) => [each.name, each] as const))(
    '%s has a doc comment and is on the page',
    (name, each) => {
      const { comment, line } = declarationOf(each);
      expect(comment, `a doc comment right before the declaration of ${name}`).toMatch(/\w{3}/);
      if (line.includes('function')) expect(comment).toContain('@throws');
      expect(page, `docs/api.md names ${name}`).toMatch(new RegExp(`\\b${name}\\b`));
    },
  );

  it('have options that are all on the page', () => {
    for (const name of ['TrainOptions', 'LoadOptions', 'RunDirectory', 'TrainingResult', 'Run']) {
      const { body } = declarationOf(exported.find((each) => each.name === name)!);
      const members = Array.from(body.matchAll(/^ {2}(?:readonly )?(\w+)[?(:]/gm), ([, member]) => member!);
      expect(members.length, name).toBeGreaterThan(3);
      expect(
        members.filter((member) => !new RegExp(`\`${member}\\b`).test(page)),
        name,
      ).toEqual([]);
      const documented = body.match(/\*\/\n {2}(?:readonly )?\w+[?(:]/g) ?? [];
      expect(documented, `each member of ${name} has a comment`).toHaveLength(members.length);
    }
  });
});
