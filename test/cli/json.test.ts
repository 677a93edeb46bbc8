import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { commands } from '../../src/cli/commands.ts';
import { nameOf } from '../../src/cli/usage.ts';
import { writeRun } from '../experiments/runFolders.ts';
import { useTemporaryFolder } from '../temporaryFolder.ts';
import { clm, root } from './clm.ts';

const folder = useTemporaryFolder();
const page = readFileSync(path.join(root, 'docs/json.md'), 'utf8');

/** The keys that docs/json.md names for a command, and those of the commands that its section refers to. */
function documentedKeys(command: string): string[] {
  const section = page.split(`### clm ${command}\n`)[1]?.split(/\n##+ /)[0] ?? '';
  const own = [...section.matchAll(/^\| ([^|]+) \|/gm)].flatMap(([, cell]) =>
    [...cell!.matchAll(/`([^`]+)`/g)].map(([, key]) => key!),
  );
  const others = [...section.matchAll(/keys of\s`clm ([a-z ]+)`/g)].flatMap(([, other]) => documentedKeys(other!));
  return [...own, ...others];
}

describe('--json', () => {
  it.each(commands.map(nameOf))('%s has it, and its keys are documented', (name) => {
    expect(commands.find((command) => nameOf(command) === name)!.options).toHaveProperty('json');
    expect(documentedKeys(name)).not.toEqual([]);
  });

  it('prints the keys that the page names', async () => {
    const at = (name: string) => path.join(folder(), name);
    writeFileSync(at('text.txt'), 'The cat sat on the mat. '.repeat(90));
    const config = 'corpus: { sources: [{ path: text.txt }] }\nmodel: { heads: 2, width: 16, contextLength: 8 }\n';
    writeFileSync(at('a.yaml'), config);
    mkdirSync(at('runs'));
    const run = writeRun(at('runs/a'), { losses: [3, 2], evaluations: [[2, 1.5]], config });
    const tokenizer = ['--tokenizer', at('tokenizer.json')];
    const train = ['--sources', at('text.txt'), '--vocabulary-size', '260', '--output', at('tokenizer.json')];
    const made = await clm(['tokenizer', 'train', ...train, '--json']);
    const calls: [string, string[]][] = [
      ['plan', [at('a.yaml'), '--no-estimate']],
      ['data check', [at('a.yaml')]],
      ['tokenizer encode', [...tokenizer, '--text', 'The cat']],
      ['tokenizer stats', [...tokenizer, '--text', 'The cat']],
      ['runs', [at('runs')]],
      ['runs show', [run]],
      ['runs watch', [run]],
      ['compare', [run]],
      ['report', [run, '--output', at('report.html')]],
      ['config show', [at('a.yaml')]],
      ['config schema', []],
      ['completion', ['bash']],
    ];
    const printed = await Promise.all(calls.map(([name, args]) => clm([...name.split(' '), ...args, '--json'])));
    for (const [i, [name]] of [...calls, ['tokenizer train', []] as [string, string[]]].entries()) {
      const { code, stdout } = printed[i] ?? made;
      expect([name, code]).toEqual([name, 0]);
      const keys = Object.keys(JSON.parse(stdout.trimEnd().split('\n').at(-1)!));
      const undocumented = keys.filter((key) => !documentedKeys(name).includes(key));
      expect([name, undocumented]).toEqual([name, []]);
      expect(keys.length).toBeGreaterThan(0);
    }
  });
});
