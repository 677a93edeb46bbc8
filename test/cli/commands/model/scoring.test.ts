import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chromiumPath, withChromium } from '../../../experiments/chromium.ts';
import { clm } from '../../clm.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'clm-scoring-'));
const at = (name: string): string => path.join(folder, name);
const run = at('run');
const objects = (text: string): Record<string, any>[] =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, any>);

beforeAll(async () => {
  writeFileSync(at('one.txt'), 'the cat sat on the mat & <b>"no" 1 < 2</b>\n'.repeat(30));
  writeFileSync(at('two.txt'), 'a dog sat on a log\n'.repeat(40));
  writeFileSync(
    at('tiny.yaml'),
    `corpus: { sources: [{ path: one.txt }], validation: { tail: 0.3 } }
model: { layers: 1, heads: 2, width: 12, contextLength: 32 }
training: { microBatchSize: 4, steps: 30 }
optimizer: { learningRate: 1e-2 }
schedule: { warmupSteps: 2 }
samples: { everySteps: null }
`,
  );
  writeFileSync(
    at('sources.yaml'),
    `extends: tiny.yaml
corpus: { sources: [{ path: one.txt }, { path: two.txt }], validation: { tail: 0.5 } }
training: { steps: 1 }
`,
  );
  const { code, stderr } = await clm(['train', at('tiny.yaml'), '--run', run, '--quiet']);
  expect({ code, stderr }).toMatchObject({ code: 0 });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('clm evaluate', () => {
  it('finds the same loss as training, and a lower one with more context', async () => {
    const recorded = objects(readFileSync(path.join(run, 'metrics.jsonl'), 'utf8'))
      .filter(({ kind }) => kind === 'evaluation')
      .at(-1)!;
    const { code, stdout } = await clm(['evaluate', run, '--json']);
    expect(code).toBe(0);
    const result = JSON.parse(stdout) as Record<string, number>;
    expect(Object.keys(result)).toEqual(['loss', 'perplexity', 'bitsPerByte', 'tokens', 'bytes']);
    for (const key of ['loss', 'perplexity', 'bitsPerByte'])
      expect(result[key], key).toBeCloseTo(recorded[key] as number, 4);
    expect(result['tokens']).toBe(recorded['tokens']);
    const overlapping = JSON.parse((await clm(['evaluate', run, '--json', '--overlap', '24'])).stdout) as Record<
      string,
      number
    >;
    expect(overlapping['tokens']).toBe(result['tokens']);
    expect(overlapping['loss']).not.toBe(result['loss']);
    const text = JSON.parse((await clm(['evaluate', run, '--text', 'the cat', '--json'])).stdout) as Record<
      string,
      number
    >;
    expect(text).toMatchObject({ tokens: 6, bytes: 6 });
  });

  it('finds nearly the same loss with weights in fewer bits', async () => {
    const losses = [];
    for (const weights of ['float32', 'bfloat16', 'int8'])
      losses.push(objects((await clm(['evaluate', run, '--weights', weights, '--json'])).stdout)[0]!['loss'] as number);
    const [exact, ...others] = losses as [number, number, number];
    expect(new Set(losses).size).toBe(3);
    for (const loss of others) expect(Math.abs(loss / exact - 1)).toBeLessThan(0.02);
  });

  it('reports each source', async () => {
    await clm(['train', at('sources.yaml'), '--run', at('sources'), '--quiet']);
    const result = objects((await clm(['evaluate', at('sources'), '--json'])).stdout)[0]!;
    expect(result['sources']).toHaveLength(2);
    const [one, two] = result['sources'] as Record<string, any>[];
    expect([one!['source'], two!['source']].map((source: string) => path.basename(source))).toEqual([
      'one.txt',
      'two.txt',
    ]);
    expect(result['tokens']).toBe(one!['tokens'] + two!['tokens']);
    expect(result['loss']).toBeCloseTo(
      (one!['loss'] * one!['tokens'] + two!['loss'] * two!['tokens']) / result['tokens'],
      9,
    );
  });
});

describe('clm evaluate of a mixture', () => {
  it('reports each source by its name and the length of its validation part', async () => {
    writeFileSync(
      at('mixture.yaml'),
      `extends: tiny.yaml
corpus:
  sources: [{ path: one.txt, name: cats, weight: 3 }, { path: two.txt, weight: 1 }]
  validation: { tail: 0.5 }
training: { steps: 1 }
`,
    );
    expect(await clm(['train', at('mixture.yaml'), '--run', at('mixture'), '--quiet'])).toMatchObject({ code: 0 });
    const result = objects((await clm(['evaluate', at('mixture'), '--json', '--overlap', '5'])).stdout)[0]!;
    const [cats, two] = result['sources'] as Record<string, any>[];
    expect([cats!['source'], two!['source']]).toEqual(['cats', 'two.txt']);
    const lengths = [at('one.txt'), at('two.txt')].map((file) => readFileSync(file).length / 2);
    expect([cats!['tokens'], two!['tokens']]).toEqual(lengths.map((length) => length - 1));
    expect(result['bytes']).toBe(cats!['bytes'] + two!['bytes']);
    const text = await clm(['evaluate', at('mixture')]);
    expect(text.stdout).toMatch(/^cats: loss .*\ntwo\.txt: loss /m);
  });

  it('scores documents that are packed whole as separate texts, like training', async () => {
    writeFileSync(
      at('documents.jsonl'),
      Array.from({ length: 40 }, (_, i) =>
        JSON.stringify({ text: `the cat ${i} sat ${'on the mat '.repeat(i % 4)}` }),
      ).join('\n'),
    );
    writeFileSync(
      at('documents.yaml'),
      `extends: tiny.yaml
corpus: { sources: [{ path: documents.jsonl }], validation: { tail: null, hash: 0.4 }, packing: documents }
tokenizer: { kind: bytes }
`,
    );
    const trained = await clm(['train', at('documents.yaml'), '--run', at('documents'), '--quiet']);
    expect(trained).toMatchObject({ code: 0 });
    const recorded = objects(readFileSync(path.join(at('documents'), 'metrics.jsonl'), 'utf8'))
      .filter(({ kind }) => kind === 'evaluation')
      .at(-1)!;
    const result = objects((await clm(['evaluate', at('documents'), '--json'])).stdout)[0]!;
    expect(result['tokens']).toBe(recorded['tokens']);
    for (const key of ['loss', 'bitsPerByte']) expect(result[key], key).toBeCloseTo(recorded[key] as number, 4);
  });
});

describe('clm score', () => {
  it('answers questions of a file, with the share of correct answers at the end', async () => {
    const question = {
      id: 7,
      prompt: 'the cat sat on the',
      choices: [' mat', ' xyz'.replace(/[xyz]/g, 't')],
      answer: 0,
    };
    writeFileSync(at('questions.jsonl'), `${JSON.stringify(question)}\n${JSON.stringify({ text: 'the cat' })}\n`);
    const { code, stdout } = await clm(['score', run, '--file', at('questions.jsonl'), '--json']);
    expect(code).toBe(0);
    const [answered, text, summary] = objects(stdout);
    expect(answered).toMatchObject({ id: 7, best: 0, answer: 0 });
    expect(text).toMatchObject({ text: 'the cat', tokens: 6 });
    expect(summary).toEqual({ questions: 1, accuracy: 1, accuracyPerByte: 1 });
    const line = await clm(['score', run, '--prompt', 'the cat sat on the', '--choice', ' ttt', '--choice', ' mat']);
    expect(line.stdout).toMatch(/^ {2}ln p .*\n→ ln p .*"the cat sat on the mat"\n$/);
    writeFileSync(at('bad.jsonl'), '{"prompt":"the","choices":[]}\n');
    expect(await clm(['score', run, '--file', at('bad.jsonl')])).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/bad\.jsonl:1: give either "text"/),
    });
  });
});

describe('clm inspect', () => {
  it('prints the binding keys, of a run and of an untrained config', async () => {
    const trained = objects((await clm(['inspect', run, '--text', 'the cat', '--json'])).stdout)[0]!;
    expect(trained).toMatchObject({ texts: [...'the cat'], targetIds: (trained['tokenIds'] as number[]).slice(1) });
    expect(trained['losses']).toHaveLength(6);
    expect(trained['loss']).toBeCloseTo((trained['losses'] as number[]).reduce((a, b) => a + b) / 6, 12);
    const { code, stdout } = await clm([
      'inspect',
      at('tiny.yaml'),
      '--text',
      'the cat',
      '--json',
      '--position',
      '6',
      '--top',
      '2',
    ]);
    expect(code).toBe(0);
    const untrained = objects(stdout)[0]!;
    expect(Math.abs(untrained['loss'] - untrained['uniformLoss'])).toBeLessThan(0.1);
    expect(trained['loss']).toBeLessThan(untrained['loss']);
    expect(untrained).toMatchObject({
      position: 6,
      alternatives: [expect.objectContaining({ tokenId: expect.any(Number) }), expect.anything()],
    });
  });

  it('prints the table of tokens, targets and losses', async () => {
    const { stdout } = await clm(['inspect', run, '--text', 'the cat', '--position', '1']);
    expect(stdout).toMatch(/^7 tokens: "t" "h" "e" " " "c" "a" "t"$/m);
    expect(stdout).toMatch(/^ +0 {2}"t" +\d+ +→ {2}"h" +\d+ +0\.\d+ +\d+ +\d\.\d+$/m);
    const [, mean, model] = /mean of the 6 losses ([\d.]+) = the model's loss ([\d.]+)/.exec(stdout)!;
    expect(mean).toBe(model);
    expect(stdout).toMatch(/^ +2 {2}● ● ● · · · · {2}"e"$/m);
    expect(stdout).toMatch(/after position 1 \("h"\):/);
  });

  it.each([
    [['--text', 'x'.repeat(3)], /U\+0078/],
    [['--text', 'the cat', '--position', '7'], /--position must be a whole number from 0 to 6/],
    [['--text', 't'.repeat(33)], /33 tokens, more than the context length of 32/],
  ])('refuses %j', async (args, message) => {
    expect(await clm(['inspect', run, ...args])).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringMatching(message),
    });
  });

  it('writes a page that fits a phone and shows all text as text', async (context) => {
    const page = at('page.html');
    const text = 'on <b>"no"</b> & 1 < 2\nthe';
    expect((await clm(['inspect', run, '--text', text, '--html', page])).code).toBe(0);
    const html = readFileSync(page, 'utf8');
    expect(html).not.toMatch(/<script|https?:|<b>"no"/);
    if (chromiumPath === undefined) {
      console.warn('SKIPPED: no Chromium here, so the page of clm inspect was not opened (apt-get install chromium)');
      context.skip();
    }
    await withChromium(
      { viewport: { width: 360, height: 740 }, isMobile: true, colorScheme: 'dark' },
      async (browser) => {
        const tab = await browser.newPage();
        const problems: string[] = [];
        tab.on('console', (message) => problems.push(message.text()));
        tab.on('request', (request) => request.url().startsWith('file:') || problems.push(request.url()));
        await tab.goto(pathToFileURL(page).href);
        expect(await tab.locator('.tokens span').allTextContents()).toEqual([
          ...text.replaceAll('\n', '⏎').replaceAll(' ', '·'),
        ]);
        expect(await tab.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(360);
        await tab.locator('summary').nth(2).click();
        expect(await tab.locator('details[open] li').count()).toBe(10);
        expect(await tab.locator('.mask i.seen').count()).toBe((text.length * (text.length + 1)) / 2);
        if (process.env['CLM_SCREENSHOTS'])
          await tab.screenshot({ path: process.env['CLM_SCREENSHOTS'], fullPage: true });
        expect(problems).toEqual([]);
      },
    );
  });
});
