import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { fixture } from '../../../huggingface/fixtures.ts';
import { clm } from '../../clm.ts';

let folder: string;
const at = (...names: string[]): string => path.join(folder, ...names);
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'clm-import-'));
  writeFileSync(at('text.txt'), 'abcdefghijklm'.repeat(30));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const objects = (text: string) =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

it('imports, samples, trains and exports a Hugging Face folder', async () => {
  const imported = await clm(['import', fixture('smollm'), '--run', at('imported'), '--json']);
  expect(imported.code).toBe(0);
  expect(JSON.parse(imported.stdout)).toMatchObject({
    kind: 'llama',
    vocabularySize: 13,
    paddingRows: 3,
    contextLength: 7,
  });
  expect(imported.stderr).toContain(
    '3 rows of the embedding have no token in the tokenizer: they are kept, but never sampled',
  );

  const sampled = await clm([
    'sample',
    at('imported'),
    '--prompt',
    'abc',
    '--max-tokens',
    '40',
    '--temperature',
    '2',
    '--json',
  ]);
  const { tokenIds } = JSON.parse(sampled.stdout) as { tokenIds: number[] };
  expect(tokenIds).toHaveLength(40);
  expect(Math.max(...tokenIds)).toBeLessThan(13);

  const unnamed = await clm(['evaluate', at('imported')]);
  expect(unnamed).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('was imported and has no validation set. Give a text with --file FILE'),
  });
  writeFileSync(
    at('on.yaml'),
    `corpus: { sources: [{ path: text.txt }] }
start: { from: imported }
training: { steps: 5, microBatchSize: 3 }
schedule: { warmupSteps: 0 }
optimizer: { learningRate: 2e-2 }
samples: { everySteps: null, prompt: a }
`,
  );
  const trained = await clm(['train', at('on.yaml'), '--run', at('trained'), '--json', '--quiet']);
  const losses = objects(trained.stdout).flatMap(({ kind, loss }) => (kind === 'step' ? [loss as number] : []));
  expect(losses.at(-1)!).toBeLessThan(losses[0]! - 0.1);
  const exported = await clm(['export', at('trained'), at('exported'), '--dtype', 'bfloat16', '--json']);
  expect(JSON.parse(exported.stdout)).toMatchObject({ kind: 'llama', step: 5, dtype: 'bfloat16' });
  expect(JSON.parse(readFileSync(at('exported', 'config.json'), 'utf8'))).toMatchObject({
    vocab_size: 16,
    tie_word_embeddings: true,
  });

  expect(await clm(['export', at('trained'), at('exported')])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('is not empty; name a new folder'),
  });
});

it('says what it passed over, even if quiet, and names the option for keys it does not know', async () => {
  cpSync(fixture('llama'), at('odd'), { recursive: true });
  const config = JSON.parse(readFileSync(at('odd', 'config.json'), 'utf8')) as object;
  writeFileSync(at('odd', 'config.json'), JSON.stringify({ ...config, rope_theta: 9, logit_scale: 2, mystery: 3 }));
  const refused = await clm(['import', at('odd'), '--run', at('odd-run')]);
  expect(refused).toMatchObject({ code: 2, stdout: '' });
  expect(refused.stderr).toContain('import without them: --ignore-key logit_scale --ignore-key mystery\n');
  const ignored = ['--ignore-key', 'logit_scale', '--ignore-key', 'mystery'];
  const imported = await clm(['import', at('odd'), '--run', at('odd-run'), ...ignored, '--quiet', '--json']);
  expect(imported.code).toBe(0);
  const warnings = [
    'rope_theta is 9, but 500 in rope_parameters: took 500, as transformers 5 does',
    'logit_scale is ignored, as --ignore-key says: clm does as if it were not there',
    'mystery is ignored, as --ignore-key says: clm does as if it were not there',
  ];
  expect(imported.stderr).toBe(warnings.map((text) => `warning: ${text}\n`).join(''));
  expect(JSON.parse(imported.stdout)).toMatchObject({ warnings });
});

it('exports a GGUF file and imports it, and refuses what is not one', async () => {
  await clm(['import', fixture('llama'), '--run', at('llama'), '--quiet']);
  const exported = await clm(['export', at('llama'), at('model.gguf'), '--dtype', 'bfloat16', '--json']);
  expect(JSON.parse(exported.stdout)).toMatchObject({ file: at('model.gguf'), kind: 'llama', dtype: 'bfloat16' });
  expect(exported.stderr).toMatch(/warning: llama\.cpp needs a token that ends texts/);
  const again = await clm(['export', at('llama'), at('model.gguf')]);
  expect(again).toMatchObject({ code: 2, stderr: expect.stringContaining('model.gguf exists already') });

  cpSync(at('model.gguf'), at('sha256-0123')); // as Ollama names it
  const imported = await clm(['import', at('sha256-0123'), '--run', at('from-gguf'), '--json']);
  expect(JSON.parse(imported.stdout)).toMatchObject({ kind: 'llama', types: ['BF16'], paddingRows: 1 });

  writeFileSync(at('bad.gguf'), readFileSync(at('model.gguf')).subarray(0, -70));
  const refused = await clm(['import', at('bad.gguf'), '--run', at('bad')]);
  expect(refused).toMatchObject({
    code: 2,
    stdout: '',
    stderr: expect.stringMatching(/bad\.gguf .* probably truncated/),
  });
  const folder = await clm(['export', at('llama'), at('folder'), '--dtype', 'q8_0']);
  expect(folder).toMatchObject({ code: 2, stderr: expect.stringContaining('--dtype q8_0 is only for GGUF') });
});
