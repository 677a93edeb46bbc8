/** What of a chat or pair is learnt, as `clm data check` and `clm inspect --messages` show it. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { useTemporaryFolder } from '../../../temporaryFolder.ts';
import { clmAtTerminal } from '../../atTerminal.ts';
import { clm } from '../../clm.ts';

const folder = useTemporaryFolder();
const at = (name: string): string => path.join(folder(), name);

const messages = [
  { role: 'user', content: 'Six?' },
  { role: 'assistant', content: 'Half a\ndozen.' },
  { role: 'user', content: 'So?' },
  { role: 'assistant', content: 'é' },
];
const text = 'user:\nSix?\n\nassistant:\nHalf a\ndozen.<|endoftext|>\n\nuser:\nSo?\n\nassistant:\né<|endoftext|>\n\n';
/** Of the bytes tokenizer: the end of text is one token. */
const tokens = Buffer.byteLength(text.replaceAll('<|endoftext|>', 'E'));

const config = (source: string, contextLength = 96): string => {
  writeFileSync(
    at('a.yaml'),
    `corpus: { sources: [{ path: rows.jsonl, ${source} }], validation: { tail: 0.4 } }
tokenizer: { kind: bytes }
model: { layers: 1, heads: 2, width: 8, contextLength: ${contextLength} }
`,
  );
  return at('a.yaml');
};

beforeEach(() => {
  const unanswered = { messages: messages.slice(0, 1), q: '1+1=', a: '' };
  const row = { messages, q: '2+3=', a: '5' };
  writeFileSync(at('rows.jsonl'), [unanswered, row, row, row].map((one) => JSON.stringify(one)).join('\n'));
  writeFileSync(at('chat.json'), JSON.stringify(messages));
});

describe('clm data check', () => {
  it('shows the first chat that has an answer, with what is learnt between marks, and in JSON', async () => {
    const file = config('messages: messages', 8);
    const { stdout } = await clm(['data', 'check', file]);
    const head = `17 of ${tokens} tokens count towards the loss, shown between ⟦ and ⟧`;
    expect(stdout.replace(/\s+/g, ' ')).toMatch(new RegExp(` example, line 2 of \\S*rows\\.jsonl: ${head} user: `));
    const shown =
      'user:\nSix?\n\nassistant:\n⟦Half a\ndozen.<|endoftext|>⟧\n\nuser:\nSo?\n\nassistant:\n⟦é<|endoftext|>⟧\n\n';
    expect(stdout).toContain(shown);
    const { learntExample } = JSON.parse((await clm(['data', 'check', file, '--json'])).stdout);
    expect(learntExample.place).toMatchObject({ path: at('rows.jsonl'), line: 2 });
    const { parts } = learntExample as { parts: { text: string; learnt: boolean }[] };
    expect(parts.map((part) => part.text).join('')).toBe(text);
    expect(parts.filter(({ learnt }) => learnt).map((part) => part.text)).toEqual([
      'Half a\ndozen.<|endoftext|>',
      'é<|endoftext|>',
    ]);
  });

  it('colours it at a terminal, of a pair too, and nothing where no example is wanted', async () => {
    const file = config('prompt: q, completion: a', 8);
    const { output } = await clmAtTerminal(['data', 'check', file], [], { size: [100, 40] });
    expect(output).toContain('shown in green');
    expect(output).toContain('2+3=\u001b[32m5<|endoftext|>\u001b[39m');
    const dumb = await clmAtTerminal(['data', 'check', file], [], { size: [100, 40], env: { TERM: 'dumb' } });
    expect(dumb.output).toContain('2+3=⟦5<|endoftext|>⟧');
    expect((await clm(['data', 'check', file, '--examples', '0'])).stdout).not.toMatch(/⟦|example/);
  });
});

describe('clm inspect --messages', () => {
  it('marks the targets that count, and has their mean beside that of all', async () => {
    const file = config('messages: messages');
    const { stdout } = await clm(['inspect', file, '--messages', at('chat.json')]);
    expect(stdout.split('\n').filter((line) => line.includes('→ ● '))).toHaveLength(17);
    const [, targets, mean] = /^● counts .* training: 17 of (\d+) targets, mean loss ([\d.]+) /m.exec(stdout)!;
    expect(targets).toBe(String(tokens - 1));
    const json = JSON.parse((await clm(['inspect', file, '--messages', at('chat.json'), '--json'])).stdout);
    const { learnt, losses, loss, learntLoss, texts } = json as Record<'losses' | 'texts', number[]> & {
      learnt: boolean[];
      loss: number;
      learntLoss: number;
    };
    const counted = losses.filter((_, t) => learnt[t]);
    expect(learntLoss).toBeCloseTo(counted.reduce((sum, one) => sum + one) / 17, 10);
    expect(learntLoss.toFixed(6)).toBe(mean);
    expect(Math.abs(loss - learntLoss)).toBeGreaterThan(1e-6);
    expect(learnt).toHaveLength(texts.length - 1);
    expect(texts.slice(1).filter((_, t) => learnt[t])).toHaveLength(17);
  });

  it('counts what the config says, unless --loss-on says otherwise', async () => {
    const file = config('messages: messages, lossOn: last');
    const inspected = async (...args: string[]) =>
      JSON.parse((await clm(['inspect', file, '--messages', at('chat.json'), '--json', ...args])).stdout);
    expect((await inspected()).learnt.filter(Boolean)).toHaveLength(3); // two bytes and the end
    expect((await inspected('--loss-on', 'all')).learnt).not.toContain(false);
  });

  it.each([
    ['{"role": "user"}', [], /chat\.json is \{"role":"user"\}, not a list of messages/],
    ['no', [], /chat\.json is not JSON; it must be a list of messages/],
    ['[]', ['--text', 'a'], /Give --messages, --text or --file, not several/],
  ])('refuses %j %j', async (json, args, message) => {
    writeFileSync(at('chat.json'), json);
    const { code, stdout, stderr } = await clm([
      'inspect',
      config('messages: messages'),
      '--messages',
      at('chat.json'),
      ...args,
    ]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
  });
});
