import { readFileSync, writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { clmAtTerminal, ctrlD } from '../../atTerminal.ts';
import { clm, root } from '../../clm.ts';

const folder = mkdtempSync(join(tmpdir(), 'clm-tokenizer-'));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);
const text = 'The whale, the white whale! 漢字 and more — "never" mind.\n'.repeat(40);
const withInput = (input: string | Uint8Array, ...args: string[]) => {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(root, 'dist/cli/main.js'), 'tokenizer', ...args],
    { input, encoding: 'utf8' },
  );
  return { code: status, stdout, stderr };
};

beforeAll(async () => {
  writeFileSync(at('text.txt'), text);
  const { code, stdout } = await clm([
    'tokenizer',
    'train',
    '--sources',
    at('text.txt'),
    '--vocabulary-size',
    '280',
    '--output',
    at('tokenizer.json'),
    '--json',
  ]);
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ vocabularySize: 280, bytes: Buffer.byteLength(text) });
});

test('a command that waits for text at a terminal says so, and only there', async () => {
  const args = ['tokenizer', 'encode', '--tokenizer', folder];
  const { code, output } = await clmAtTerminal(args, [['Ctrl-D', `The\n${ctrlD}`]]);
  expect({ code, output }).toEqual({ code: 0, output: expect.stringMatching(/^reading from the terminal: .*\d\s*$/s) });
  expect(withInput('The', ...args.slice(1))).toMatchObject({ code: 0, stderr: '' });
});

test('encode and decode return the text', async () => {
  const encoded = await clm(['tokenizer', 'encode', '--tokenizer', folder, '--file', at('text.txt'), '--json']);
  const { tokenIds, tokens } = JSON.parse(encoded.stdout) as { tokenIds: number[]; tokens: number };
  expect(tokens).toBe(tokenIds.length);
  expect(withInput(encoded.stdout, 'decode', '--tokenizer', at('tokenizer.json'))).toEqual({
    code: 0,
    stdout: text,
    stderr: '',
  });
  expect(withInput(tokenIds.join(', '), 'decode', '--tokenizer', folder).stdout).toBe(text);
  expect(withInput(text, 'encode', '--tokenizer', folder).stdout).toBe(`${tokenIds.join(' ')}\n`);
});

test('text that spells a special token is text, unless asked', async () => {
  const encode = async (...more: string[]) =>
    (
      JSON.parse(
        (await clm(['tokenizer', 'encode', '--tokenizer', folder, '--json', '--text', 'a<|endoftext|>', ...more]))
          .stdout,
      ) as { tokenIds: number[] }
    ).tokenIds;
  const plain = await encode();
  expect(plain).not.toContain(0);
  expect(await encode('--special-tokens')).toEqual([plain[0], 0]);
  expect(withInput('0', 'decode', '--tokenizer', folder).stdout).toBe('');
  expect(withInput('0', 'decode', '--tokenizer', folder, '--special-tokens').stdout).toBe('<|endoftext|>');
});

test('stats count bytes and tokens', async () => {
  const { stdout } = await clm(['tokenizer', 'stats', '--tokenizer', folder, '--file', at('text.txt'), '--json']);
  const stats = JSON.parse(stdout) as Record<string, number>;
  expect(stats['bytes']).toBe(Buffer.byteLength(text));
  expect(stats['bytesPerToken']).toBeCloseTo(stats['bytes']! / stats['tokens']!);
  expect(stats['megabytesPerSecond']).toBeGreaterThan(0);
});

test.each([
  [
    ['encode', '--tokenizer', 'TOKENIZER'],
    Uint8Array.of(0x61, 0xc3, 0xa9, 0xff),
    'Invalid UTF-8 at byte 3 of stdin. Convert the text to UTF-8.',
  ],
  [['encode', '--tokenizer', 'nowhere'], '', 'No tokenizer at nowhere. Name a tokenizer.json, or a folder with one.'],
  [['encode', '--tokenizer', 'TOKENIZER', '--text', 'a', '--file', 'b'], '', 'Give --text or --file, not both.'],
  [['encode', '--tokenizer', 'TOKENIZER', '--file', 'nowhere.txt'], '', 'cannot read nowhere.txt: it does not exist.'],
  [['decode', '--tokenizer', 'TOKENIZER'], '1 2 280', '280 is not a token id: the vocabulary has the ids 0 … 279.'],
  [['decode', '--tokenizer', 'TOKENIZER'], '1 -2', '-2 is not a token id; ids are whole numbers from 0.'],
  [['decode', '--tokenizer', 'TOKENIZER'], '{"ids":[1]}', 'The JSON on stdin must have tokenIds, a list of token ids.'],
  [
    ['decode', '--tokenizer', 'TOKENIZER'],
    '{"tokenIds":[1,"a"]}',
    '"a" is not a token id; ids are whole numbers from 0.',
  ],
  [['decode', '--tokenizer', 'TOKENIZER'], '[1', 'stdin must be numbers, or one JSON object with tokenIds.'],
])('%j is refused with one message', (args, input, message) => {
  const result = withInput(input, ...args.map((arg) => (arg === 'TOKENIZER' ? at('tokenizer.json') : arg)));
  expect(result).toEqual({ code: 2, stdout: '', stderr: `error: ${message}\n` });
});

test('train refuses a size out of range and an existing file', async () => {
  const train = (size: string, output: string) =>
    clm(['tokenizer', 'train', '--sources', at('text.txt'), '--vocabulary-size', size, '--output', output]);
  expect((await train('256', at('other.json'))).stderr).toBe(
    'error: --vocabulary-size must be a whole number from 257 to 1048576\n',
  );
  const before = readFileSync(at('tokenizer.json'), 'utf8');
  const { code, stderr } = await train('280', at('tokenizer.json'));
  expect({ code, stderr }).toEqual({
    code: 2,
    stderr: `error: ${at('tokenizer.json')} already exists. Remove it, or choose another file with --output.\n`,
  });
  expect(readFileSync(at('tokenizer.json'), 'utf8')).toBe(before);
});
