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
      expect(stderr).toContain('The validation part has no token to score: every completion in it is empty.');
    }
    expect(results[0]!.stdout).toContain('validation'); // data check still says what there is
  });
});
