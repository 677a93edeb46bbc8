import { spawn } from 'node:child_process';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clmAtTerminal, ctrlC, ctrlD, ctrlU, up, type TerminalStep } from '../../atTerminal.ts';
import { clm, root, type Result } from '../../clm.ts';
import { seedOfPrompt } from '../../../../src/sampling/requests.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'clm-sample-'));
const at = (name: string): string => path.join(folder, name);
const run = at('run');

/** clm with something on stdin; `watch` sees stdout and stderr so far, and may write on or send signals. */
function clmWithInput(
  args: string[],
  input: string | null,
  watch?: (output: string, child: ReturnType<typeof spawn>) => void,
): Promise<Result> {
  const child = spawn(process.execPath, [path.join(root, 'dist/cli/main.js'), ...args], { cwd: root, stdio: 'pipe' });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
    watch?.(stdout + stderr, child);
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
    watch?.(stdout + stderr, child);
  });
  child.stdin.on('error', () => {});
  if (input !== null) child.stdin.end(input);
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, stdout, stderr })));
}
const objects = (text: string): Record<string, unknown>[] =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

beforeAll(async () => {
  writeFileSync(at('text.txt'), 'the cat sat on the mat and the dog sat on the log. '.repeat(40));
  writeFileSync(
    at('tiny.yaml'),
    `corpus: { sources: [{ path: text.txt }], validation: { tail: 0.2 } }
model: { layers: 1, heads: 2, width: 12, contextLength: 16 }
training: { microBatchSize: 4, steps: 8 }
schedule: { warmupSteps: 2 }
samples: { everySteps: null, prompt: "the ", maxTokens: 9 }
`,
  );
  const { code, stderr } = await clm(['train', at('tiny.yaml'), '--run', run, '--quiet']);
  expect({ code, stderr }).toMatchObject({ code: 0 });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('clm sample', () => {
  it('ends the line before the error of a later prompt; a file with no completion is not left', async () => {
    const prompts = 'the cat\nÜ\n';
    const { code, stdout, stderr } = await clmWithInput(['sample', run, '--prompts', '-', '--batch', '1'], prompts);
    expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining('stdin:2: ') });
    expect(stdout).toMatch(/^(the cat[^]*\n)?$/);
    const failed = await clm(['sample', run, '--prompt', 'Ü', '--output', at('nothing.jsonl')]);
    expect(failed.code).toBe(2);
    expect(existsSync(at('nothing.jsonl'))).toBe(false);
  });

  it('prints the prompt of a completion without a text', async () => {
    const everyToken = Array.from({ length: 14 }, (_, id) => ['--stop-token', String(id)]).flat();
    const { code, stdout, stderr } = await clm(['sample', run, '--prompt', 'the ', '--samples', '3', ...everyToken]);
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: 'the \n\n---\nthe \n\n---\nthe \n', stderr: '' });
  });

  it('prints a JSON line per completion, in order, with its settings', async () => {
    const args = [
      'sample',
      run,
      '--prompt',
      'the ',
      '--prompt',
      'a dog sat on the mat',
      '--samples',
      '2',
      '--seed',
      '7',
    ];
    const { code, stdout } = await clm([
      ...args,
      '--max-tokens',
      '20',
      '--log-probabilities',
      '2',
      '--json',
      '--quiet',
    ]);
    expect(code).toBe(0);
    const lines = objects(stdout);
    const second = seedOfPrompt(7, 1);
    expect(second).not.toBe(7);
    expect(lines.map(({ index, promptIndex, prompt, seed }) => [index, promptIndex, prompt, seed])).toEqual([
      [0, 0, 'the ', 7],
      [1, 0, 'the ', 8],
      [2, 1, 'a dog sat on the mat', second],
      [3, 1, 'a dog sat on the mat', second + 1],
    ]);
    for (const line of lines) {
      expect(line).toMatchObject({ tokens: 20, finishReason: 'length' });
      for (const list of ['tokenIds', 'texts', 'logProbabilities', 'alternatives'])
        expect(line[list], list).toHaveLength(20);
      expect((line['texts'] as string[]).join('')).toBe(line['completion']);
      for (const likely of line['alternatives'] as { tokenId: number; text: string }[][])
        expect(likely.map(({ text }) => text.length)).toEqual([1, 1]); // tokens are characters
      for (const number of ['tokensPerSecond', 'firstTokenMs']) expect(line[number], number).toBeGreaterThan(0);
      expect(line['completion']).toHaveLength(20);
    }
    // The text form has the same completions.
    const text = await clm([...args, '--max-tokens', '20', '--quiet']);
    expect(text.stdout).toBe(
      `${lines.map(({ prompt, completion }) => `${prompt as string}${completion as string}`).join('\n\n---\n')}\n`,
    );
  });

  it('reads prompts with their own settings, and repeats their ids', async () => {
    writeFileSync(
      at('prompts.jsonl'),
      '{"prompt":"the ","id":"a","maxTokens":3}\n\n{"prompt":"cat","temperature":0,"stop":" "}\n',
    );
    const { stdout } = await clm(['sample', run, '--prompts', at('prompts.jsonl'), '--json', '--max-tokens', '30']);
    expect(objects(stdout)[0]).toMatchObject({ id: 'a', tokens: 3 });
    expect(objects(stdout)[1]).not.toHaveProperty('id');
    const lines = await clmWithInput(['sample', run, '--prompts', '-', '--json'], 'the \ncat\n');
    expect(objects(lines.stdout).map(({ prompt }) => prompt)).toEqual(['the ', 'cat']);
    expect(objects(lines.stdout)[0]).toMatchObject({ tokens: 9 });
  });

  it('gives equal prompts other seeds, each with the same completion alone; --same-seed gives one', async () => {
    writeFileSync(at('equal.jsonl'), '{"prompt":"the "}\n{"prompt":"the "}\n{"prompt":"the ","seed":7}\n');
    const args = ['sample', run, '--max-tokens', '16', '--temperature', '1', '--json', '--seed', '7'];
    const lines = objects((await clm([...args, '--prompts', at('equal.jsonl')])).stdout);
    expect(lines.map(({ seed }) => seed)).toEqual([7, seedOfPrompt(7, 1), 7]);
    const [first, second, third] = lines.map(({ completion }) => completion);
    expect(second).not.toBe(first);
    expect(third).toBe(first);
    const again = [...args.slice(0, -1), String(seedOfPrompt(7, 1)), '--prompt', 'the '];
    const [alone, same] = await Promise.all([
      clm(again),
      clm([...args, '--same-seed', '--prompts', at('equal.jsonl')]),
    ]);
    expect(objects(alone.stdout)[0]!['completion']).toBe(second);
    expect(objects(same.stdout).map(({ seed, completion }) => [seed, completion])).toEqual(Array(3).fill([7, first]));
  });

  it('continues a file of completions after a stop', async () => {
    writeFileSync(at('many.txt'), Array.from({ length: 12 }, (_, i) => `the ${'cat '.repeat(i % 3)}`).join('\n'));
    const args = ['sample', run, '--prompts', at('many.txt'), '--output', at('done.jsonl'), '--batch', '3', '--quiet'];
    expect((await clm(args)).code).toBe(0);
    const whole = readFileSync(at('done.jsonl'), 'utf8');
    const tokens = (text: string) => objects(text).map(({ index, prompt, tokenIds }) => [index, prompt, tokenIds]);
    expect(tokens(whole).map(([index]) => index)).toEqual([...Array(12).keys()]);
    // Stopped in the middle of the sixth line.
    const fifth = whole.split('\n').slice(0, 5).join('\n').length + 1;
    truncateSync(at('done.jsonl'), fifth + 20);
    expect((await clm(args)).code).toBe(0);
    const continued = readFileSync(at('done.jsonl'), 'utf8');
    expect(continued.slice(0, fifth)).toBe(whole.slice(0, fifth));
    expect(tokens(continued)).toEqual(tokens(whole));
    // Complete: nothing is generated again, whatever --batch is. Other prompts: refused.
    expect(await clm(args.with(args.indexOf('3'), '5'))).toMatchObject({ code: 0, stdout: '' });
    expect(readFileSync(at('done.jsonl'), 'utf8')).toBe(continued);
    const refused = {
      code: 2,
      stderr: expect.stringMatching(/done\.jsonl: completion 0 was made with another prompt, seed, setting or model/),
    };
    for (const other of [
      ['--temperature', '0.5'],
      ['--weights', 'bfloat16'],
    ])
      expect(await clm([...args, ...other])).toMatchObject(refused);
    writeFileSync(at('many.txt'), 'mat\n');
    expect(await clm(args)).toMatchObject(refused);
    appendFileSync(at('done.jsonl'), 'no completion\n');
    expect((await clm(args)).stderr).toMatch(/done\.jsonl:13: invalid JSON/);
  });

  it.each([
    [['--prompt', ''], /--prompt is empty/],
    [['--prompt', 'Ü'], /--prompt: .*U\+00DC/],
    [['--temperature', '-1'], /--temperature must be a number of at least 0, not -1/],
    [['--top-p', '2'], /--top-p must be a number above 0 and at most 1, not 2/],
    [['--logit-bias', 'x'], /--logit-bias must be TOKEN=NUMBER, e\.g\. 17=-2\.5, not "x"/],
    [['--logit-bias', '5=1', '--logit-bias', '05=2'], /--logit-bias is given twice for the token 5/],
    [['--seed', '9007199254740992'], /--seed must be a whole number from 0 to 9007199254740991, not 9007199254740992/],
    [['--seed', '9007199254740991', '--samples', '3'], /--seed must be at most 9007199254740989 for 3 samples/],
    [['--prompts', '/nowhere/prompts.txt'], /\/nowhere\/prompts\.txt: it does not exist/],
    [['--prompt', 'a', '--prompts', '-'], /are both given; choose one/],
    [['--log-probabilities', '2'], /needs --json/],
    [['-i', '--json'], /--interactive/],
  ])('refuses %j', async (args, message) => {
    const { code, stderr, stdout } = await clm(['sample', run, ...args]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
  });

  it('names file and line of an invalid prompt', async () => {
    writeFileSync(at('bad.jsonl'), '{"prompt":"the "}\n{"prompt":"the ","topq":1}\n');
    const { code, stderr } = await clm(['sample', run, '--prompts', at('bad.jsonl'), '--json']);
    expect(code).toBe(2);
    expect(stderr).toMatch(/bad\.jsonl:2: topq is not a setting of a completion/);
  });

  it('at a terminal: streams, remembers prompts, and Ctrl-C stops the completion, not the program', async () => {
    // A million tokens would take too long: the text that is seen was streamed.
    const steps: TerminalStep[] = [
      ['> ', 'the cat\r'],
      [300, ctrlC],
      ['> ', up],
      ['> the cat', ' sat\r'],
      [300, ctrlC],
      ['> ', 'mat'],
      ['mat', `${ctrlU}\r${ctrlD}`],
    ];
    const { output, code } = await clmAtTerminal(['sample', run, '-i', '--max-tokens', '1000000'], steps);
    expect(code).toBe(0);
    const [, first, second] = /\nthe cat([^>]*)> [^]*\nthe cat sat([^>]*)> /.exec(output)!;
    for (const text of [first!, second!]) expect(text.length).toBeGreaterThan(200);
    expect(output).not.toContain('^C');
  });

  it('ends at the first prompt if the weights are damaged, with the error on its own line', async () => {
    cpSync(run, at('damaged'), { recursive: true });
    const weights = at('damaged/checkpoints/step-00000008/model.safetensors');
    const bytes = readFileSync(weights);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(weights, bytes);
    const { code, stdout, stderr } = await clmWithInput(['sample', at('damaged'), '-i'], 'the cat\nthe dog\n');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr.match(/error: .*model\.safetensors/g)).toHaveLength(1);
  });

  it('asks for prompts; SIGINT stops a completion, or the program at the prompt', async () => {
    let stage = 0;
    const { code, stdout, stderr } = await clmWithInput(
      ['sample', run, '-i', '--max-tokens', '1000000'],
      null,
      (output, child) => {
        if (stage === 0 && output.includes('> ')) {
          stage = 1;
          child.stdin!.write('the cat\n');
        } else if (stage === 1 && output.includes('the cat') && output.length > 600) {
          stage = 2;
          child.kill('SIGINT');
        } else if (stage === 2 && output.split('> ').length > 2) {
          stage = 3;
          child.stdin!.write('Ü\n');
        } else if (stage === 3 && output.includes('U+00DC')) {
          stage = 4;
          child.stdin!.end();
        }
      },
    );
    expect({ code, stage }).toEqual({ code: 0, stage: 4 });
    expect(stdout).toMatch(/^the cat/);
    expect(stderr).toMatch(/Ctrl-C stops a completion/);
  });
});
