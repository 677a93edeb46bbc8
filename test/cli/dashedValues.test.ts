import { describe, expect, it } from 'vitest';
import { parseArguments, UsageError } from '../../src/cli/parseArguments.ts';
import { defineUsage } from '../../src/cli/usage.ts';

const usage = defineUsage({
  command: 'try [config]',
  describe: 'Tries',
  positionals: { config: { type: 'string' } },
  options: {
    prompt: { type: 'string', array: true, nargs: 1 },
    text: { type: 'string' },
    seed: { type: 'number' },
    json: { type: 'boolean', default: false },
    measure: { type: 'string' },
  },
  optionalValues: { measure: { looksLike: /^-?\d/, otherwise: '20s' } },
  examples: [],
});

async function parsed(...args: string[]): Promise<Record<string, unknown>> {
  let found: Record<string, unknown> = {};
  await parseArguments(usage, args, async (values) => void (found = values));
  return found;
}
const refusal = (...args: string[]): Promise<string> =>
  parsed(...args).then(
    () => 'taken',
    (error: unknown) => (error instanceof UsageError ? error.message : `a bug: ${String(error)}`),
  );

describe('a value that begins with a dash', () => {
  it.each(['- milk', '--- a/file', '-', '---', '--', '-5', '--x y', '-1e5', '- [ ] a=b', '—dash'])(
    'is the text: %s',
    async (text) => {
      if (text !== '--') expect(await parsed('--text', text, '--json')).toMatchObject({ text, json: true });
      expect(await parsed(`--text=${text}`, '--json')).toMatchObject({ text, json: true });
    },
  );

  it('is taken each time an option is repeated', async () => {
    expect(await parsed('--prompt', '- a', '--prompt', 'b', '--prompt=- c')).toMatchObject({
      prompt: ['- a', 'b', '- c'],
    });
  });

  it('is refused with a hint if it looks like an option', async () => {
    expect(await refusal('--text', '--json')).toBe(
      '--text needs a value. If --json is meant as its value: --text=--json',
    );
    expect(await refusal('--text', '-x')).toContain('--text=-x');
    expect(await refusal('--text', '--a=b c')).toContain("--text='--a=b c'");
    expect(await refusal('--text')).toBe('--text needs a value');
  });

  it('may be a negative number', async () => {
    for (const number of ['-1', '-1.5', '-1e5', '-.5'])
      expect(await parsed('--seed', number)).toMatchObject({ seed: Number(number) });
    expect(await refusal('--seed', '- 1')).toBe('--seed must be a number');
  });
});

describe('--', () => {
  it('ends the options', async () => {
    expect(await parsed('--', 'base.yaml')).toMatchObject({ config: 'base.yaml' });
    expect(await parsed('--json', '--', 'base.yaml')).toMatchObject({ config: 'base.yaml', json: true });
    expect(await parsed('--', '-base.yaml')).toMatchObject({ config: './-base.yaml' });
    expect(await parsed('--')).toMatchObject({ json: false });
    expect(await refusal('--', 'a', '--json')).toBe(
      'unexpected argument "--json"; did you mean: clm try a --prompt=--json',
    );
  });
});

describe('a value that may be left out', () => {
  it.each([
    [['--measure', 'a.yaml'], { measure: '20s', config: 'a.yaml' }],
    [['a.yaml', '--measure'], { measure: '20s', config: 'a.yaml' }],
    [['a.yaml', '--measure', '--json'], { measure: '20s', json: true }],
    [['--measure', '30s', 'a.yaml'], { measure: '30s', config: 'a.yaml' }],
    [['--measure=soon', 'a.yaml'], { measure: 'soon', config: 'a.yaml' }],
    [['a.yaml'], { measure: undefined }],
  ])('is taken for what it looks like: %j', async (args, expected) => {
    const { measure, ...rest } = await parsed(...args);
    expect({ measure, ...rest }).toMatchObject(expected);
  });
});
