import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { useTemporaryFolder } from '../../../temporaryFolder.ts';
import { clm } from '../../clm.ts';

const folder = useTemporaryFolder();
const at = (name: string): string => path.join(folder(), name);

describe('a validation part in which nothing can be scored', () => {
  it('is refused by data check, plan and train in the same words', async () => {
    const rows = Array.from({ length: 40 }, (_, i) => JSON.stringify({ q: `question ${i}`, a: 'an answer' }));
    writeFileSync(at('rows.jsonl'), rows.join('\n'));
    writeFileSync(at('empty.jsonl'), '{"q":"question","a":""}\n');
    const config = at('pairs.yaml');
    writeFileSync(
      config,
      `corpus: { sources: [{ path: rows.jsonl, prompt: q, completion: a }], validation: { path: empty.jsonl } }
tokenizer: { kind: bytes }
model: { layers: 1, heads: 2, width: 8, contextLength: 8 }
training: { microBatchSize: 1, steps: 2 }
`,
    );
    const commands = [
      ['data', 'check', config],
      ['plan', config],
      ['train', config, '--run', at('run')],
    ];
    const results = await Promise.all(commands.map((args) => clm(args)));
    for (const { code, stderr } of results) {
      expect(code).toBe(2);
      expect(stderr).toContain(
        'The validation part has no token to score: every completion in it is empty, and no chat',
      );
    }
    expect(results[0]!.stdout).toContain('validation'); // data check still says what there is
  });
});

describe('data check of running text', () => {
  it('names what is in both parts, with its share, and warns', async () => {
    const lines = (name: string, count: number): string =>
      Array.from({ length: count }, (_, i) => `${name} ${i}: words that stand in one line of one text only\n`).join('');
    writeFileSync(at('one.txt'), lines('one', 30));
    writeFileSync(at('two.txt'), lines('two', 30));
    writeFileSync(at('held.txt'), lines('held', 10) + lines('two', 10));
    writeFileSync(at('copy.txt'), lines('one', 30));
    const config = at('texts.yaml');
    const sources = '[{ path: one.txt }, { path: two.txt }, { path: copy.txt }]';
    writeFileSync(
      config,
      `corpus: { sources: ${sources}, validation: { path: held.txt } }\ntokenizer: { kind: bytes }\n`,
    );
    const { code, stdout, stderr } = await clm(['data', 'check', config, '--examples', '0']);
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: 'warning: 10 of 20 validation lines (50.0 %) are also trained on: the validation loss is too low\n',
    });
    expect(stdout).toMatch(/^4 files, 1\.000 bytes per token, a vocabulary of 256 tokens\n +files +tokens +bytes\n/);
    expect(stdout).toMatch(/^files that equal an earlier file: 1\n {2}\S*copy\.txt equals \S*one\.txt$/m);
    expect(stdout).toMatch(/ repeat an earlier training line: 30 of 90 lines of 40 bytes or more \(33\.3 %\)$/m);
    expect(stdout).toMatch(/ also in the training text: 10 of 20 lines of 40 bytes or more \(50\.0 %\)$/m);
    expect(stdout).toMatch(/^ {2}10 lines \(\d+ B\): line 11 of \S*held\.txt is also line 1 of \S*two\.txt$/m);
    const sum = /^training tokens: 1 .* \+ ([\d,]+) windows × 64 \+ (\d+) left over = ([\d,]+)$/m.exec(stdout)!;
    const [windows, left, total] = sum.slice(1).map((text) => Number(text.replace(',', '')));
    expect(1 + 64 * windows! + left!).toBe(total);
    expect(stdout).not.toContain('duplicate'); // there are no documents to look for
  });

  it('does not warn of a few validation lines', async () => {
    const line = 'assistant: You are welcome, and do come back soon.\n';
    writeFileSync(at('chats.txt'), Array.from({ length: 30 }, (_, i) => `question ${i} of many\n${line}`).join(''));
    writeFileSync(at('held.txt'), `another question\n${line}`.repeat(9));
    const corpus = '{ sources: [{ path: chats.txt }], validation: { path: held.txt } }';
    writeFileSync(at('chats.yaml'), `corpus: ${corpus}\ntokenizer: { kind: bytes }\n`);
    const { code, stdout, stderr } = await clm(['data', 'check', at('chats.yaml'), '--examples', '0']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/also in the training text: 1 of 1 lines of 40 bytes or more \(100\.0 %\)$/m);
  });
});
