/** `--log ./my-sink.mjs` of train and sweep, as a user would. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { clm } from '../../clm.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'clm-log-'));
const at = (name: string): string => path.join(folder, name);
const objects = (text: string): Record<string, unknown>[] =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

beforeAll(() => {
  writeFileSync(at('text.txt'), 'the cat sat on the mat\n'.repeat(60));
  writeFileSync(
    at('tiny.yaml'),
    `corpus: { sources: [{ path: text.txt }], validation: { tail: 0.2 } }
model: { layers: 1, heads: 2, width: 12, contextLength: 16 }
training: { microBatchSize: 3, steps: 7 }
schedule: { warmupSteps: 2 }
samples: { everySteps: null }
`,
  );
  writeFileSync(
    at('sink.mjs'),
    `import { appendFileSync } from 'node:fs';
const file = new URL('facts.jsonl', import.meta.url);
console.log('on stdout');
export default (fact) => appendFileSync(file, JSON.stringify(fact) + '\\n');`,
  );
  writeFileSync(at('failing.mjs'), "export default () => { throw new Error('always'); };");
  writeFileSync(at('sweep.yaml'), 'config: tiny.yaml\ngrid: { seed: [3] }\n');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('hands every fact to modules; what they print and fail at is on stderr, and the run is complete', async () => {
  const log = ['--log', at('sink.mjs'), '--log', at('failing.mjs'), '--log', 'csv'];
  const { code, stdout, stderr } = await clm(['train', at('tiny.yaml'), '--run', at('run'), '--json', ...log]);
  expect(code).toBe(0);
  const facts = objects(readFileSync(at('facts.jsonl'), 'utf8'));
  expect(facts[0]).toMatchObject({ kind: 'start', steps: 7, run: at('run'), config: { reports: { log: ['csv'] } } });
  expect(facts.at(-1)).toEqual({ kind: 'end', step: 7, state: 'done', reason: null });
  const printed = objects(stdout); // nothing else is on stdout
  expect(printed.at(-1)).toMatchObject({ run: at('run'), state: 'done', step: 7 });
  expect(facts.filter(({ kind }) => !['start', 'saving', 'end'].includes(String(kind)))).toEqual(printed.slice(0, -1));
  expect(existsSync(at('run/metrics.csv'))).toBe(true);
  expect(stderr).toContain(`${at('sink.mjs')}: on stdout`);
  const warnings = stderr.split('\n').filter((line) => line.startsWith('warning: '));
  expect(warnings).toEqual([
    `warning: --log ${at('failing.mjs')}: it failed: always. Training goes on`,
    `warning: --log ${at('failing.mjs')}: it failed ${facts.length} times`,
  ]);
});

it('refuses what cannot be used before anything is written', async () => {
  const refusal = async (command: string[], log: string) => {
    const { code, stderr } = await clm([...command, '--log', log]);
    return [code, stderr.replaceAll(`${folder}/`, '')];
  };
  const train = ['train', at('tiny.yaml'), '--run', at('refused')];
  expect(await refusal(train, at('none.mjs'))).toEqual([2, 'error: --log none.mjs: there is no such file.\n']);
  expect(await refusal(train, 'tensorbord')).toEqual([2, expect.stringContaining('--log is "tensorbord"; it must be')]);
  const sweep = ['sweep', at('sweep.yaml'), '--output', at('refused')];
  expect(await refusal(sweep, at('text.txt'))).toEqual([2, expect.stringContaining('the module cannot be used')]);
  expect(existsSync(at('refused'))).toBe(false);
});

it('sweep hands the facts of its runs to modules, and names the runs whose modules fail', async () => {
  rmSync(at('facts.jsonl'));
  const log = ['--log', at('sink.mjs'), '--log', at('failing.mjs')];
  const { code, stderr } = await clm(['sweep', at('sweep.yaml'), '--output', at('swept'), ...log]);
  expect({ code, stderr }).toMatchObject({ code: 0 });
  expect(stderr).toMatch(/^warning: \S+: --log .*failing\.mjs: it failed: always/m);
  expect(stderr).toMatch(/^warning: \S+: --log .*failing\.mjs: it failed \d+ times$/m);
  expect(objects(readFileSync(at('facts.jsonl'), 'utf8')).at(-1)).toMatchObject({ kind: 'end', step: 7 });
});
