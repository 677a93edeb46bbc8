/** Modules that are handed facts: what they get, and that nothing they do reaches the process that hands them over. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Fact } from '../../../src/training/sinks/facts.ts';
import { openModuleSink } from '../../../src/training/sinks/moduleSink.ts';
import { root } from '../../cli/clm.ts';
import { useTemporaryFolder } from '../../temporaryFolder.ts';

const folder = useTemporaryFolder();
const at = (name: string): string => path.join(folder(), name);
const step = (number: number, loss = 1 / number): Fact => ({
  ...{ kind: 'step', step: number, loss, learningRate: 1e-3, gradientNorm: 2, tokensPerSecond: 9, elapsedMs: 7 },
});

/** A module of this code, opened; `said` and `printed` are what was told of it, without the folder. */
async function open(code: string, limits = { waiting: 10_000, loadingMs: 30_000, endingMs: 10_000 }) {
  const file = at('sink.mjs');
  writeFileSync(file, code);
  const said: string[] = [];
  const printed: string[] = [];
  const into = (texts: string[]) => (text: string) => void texts.push(text.replaceAll(`${folder()}/`, ''));
  const sink = await openModuleSink(file, { warn: into(said), print: into(printed) }, limits);
  return { sink, said, printed };
}

const writing = `import { appendFileSync } from 'node:fs';
const write = (value) => appendFileSync(new URL('facts', import.meta.url), String(value) + '\\n');
`;
const written = (): string[] => readFileSync(at('facts'), 'utf8').trim().split('\n');
const refusalOf = (code: string, limits?: Parameters<typeof open>[1]): Promise<string> =>
  open(code, limits).then(
    () => 'opened',
    ({ message, kind }: { message: string; kind: string }) => `${kind}: ${message.replaceAll(`${folder()}/`, '')}`,
  );

describe('a module', () => {
  it('is handed every fact in order, one after the other, and is closed', async () => {
    const { sink, said, printed } = await open(`${writing}
console.log('loaded');
class Sink {
  running = 0;
  async report(fact) {
    if (this.running++ > 0) write('overlap');
    await new Promise((resolve) => setTimeout(resolve, fact.step === 1 ? 20 : 0));
    write(fact.step + ' ' + fact.loss);
    this.running--;
  }
  async close() {
    await new Promise((resolve) => setTimeout(resolve, 20));
    write('closed');
    console.error('bye');
  }
}
export default new Sink();`);
    for (let number = 1; number <= 150; number++) sink.report(step(number, number === 7 ? NaN : number));
    await Promise.all([sink.close(), sink.close()]);
    const losses = Array.from({ length: 150 }, (_, i) => `${i + 1} ${i === 6 ? NaN : i + 1}`);
    expect(written()).toEqual([...losses, 'closed']);
    expect(said).toEqual([]);
    expect(printed).toEqual(['sink.mjs: loaded', 'sink.mjs: bye']);
  });

  it('that throws, rejects, or leaves a rejection unhandled is told of once, with a count', async () => {
    const { sink, said } = await open(`${writing}
export default function (fact) {
  write(fact.step);
  if (fact.step === 1) throw new Error('thrown');
  if (fact.step === 2) return Promise.reject('rejected');
  if (fact.step === 3) void Promise.reject(new Error('unhandled'));
  if (fact.step === 4) setTimeout(() => { throw new Error('later'); });
  return new Promise((resolve) => setTimeout(resolve, 5));
}`);
    for (let number = 1; number <= 6; number++) sink.report(step(number));
    await sink.close();
    expect(written()).toEqual(['1', '2', '3', '4', '5', '6']);
    expect(said).toEqual(['--log sink.mjs: it failed: thrown. Training goes on', '--log sink.mjs: it failed 4 times']);
  });

  it('that is slow keeps nobody waiting: the oldest facts are dropped, counted, and the last one arrives', async () => {
    const { sink, said } = await open(
      `${writing}
export default async ({ step }) => {
  await new Promise((resolve) => setTimeout(resolve, step === 1 ? 300 : 0));
  write(step);
};`,
      { waiting: 5, loadingMs: 30_000, endingMs: 10_000 },
    );
    for (let number = 1; number <= 5000; number++) sink.report(step(number));
    await sink.close();
    expect(written()).toHaveLength(105); // those on their way, and those that waited
    expect(written().slice(-5)).toEqual(['4996', '4997', '4998', '4999', '5000']);
    expect(said).toEqual([
      '--log sink.mjs: it is slower than training: of the facts that wait, the oldest are dropped',
      '--log sink.mjs: it got 105 of 5000 facts',
    ]);
  });

  it('that never ends is ended, with what it started', async () => {
    const { sink, said } = await open(
      `import { spawn } from 'node:child_process';
spawn('sleep', ['60'], { stdio: 'inherit' });
export default () => { for (;;); };`,
      { waiting: 5, loadingMs: 30_000, endingMs: 200 },
    );
    sink.report(step(1));
    await sink.close();
    expect(said).toEqual([
      '--log sink.mjs: it has not ended 0.2 s after the run, and is ended',
      '--log sink.mjs: it got 0 of 1 facts',
    ]);
  });

  it.each([
    ['exits', 'process.exit(7)', 'with exit code 7'],
    ['is killed', "process.kill(process.pid, 'SIGTERM'), process.kill(process.pid, 'SIGBUS')", 'by SIGBUS'],
  ])('that %s is told of, and training goes on', async (_, code, how) => {
    const { sink, said } = await open(`export default (fact) => { if (fact.step === 2) ${code}; };`);
    for (let number = 1; number <= 3; number++) sink.report(step(number));
    await sink.close();
    expect(said).toEqual([
      `--log sink.mjs: its process has ended (${how}), so it gets no more facts`,
      '--log sink.mjs: it got 1 of 3 facts',
    ]);
  });

  it('that cannot be used is refused', async () => {
    const quick = { waiting: 5, loadingMs: 400, endingMs: 200 };
    expect(await refusalOf('export const report = 1;')).toBe(
      'wrongInput: --log sink.mjs: the module cannot be used: its default export is neither a function nor an object ' +
        'with a function "report".',
    );
    expect(await refusalOf('export default (')).toMatch(
      /cannot be used: Unexpected .* \("node .*sink.mjs" says where\)/,
    );
    expect(await refusalOf("throw new Error('no key')")).toContain('cannot be used: no key.');
    expect(await refusalOf('process.exit()')).toContain('its process ended while it was being loaded');
    expect(await refusalOf('await new Promise(() => setInterval(() => {}, 9))', quick)).toContain(
      'not loaded after 0.4 s',
    );
    const missing = openModuleSink(at('none.mjs'), { warn: () => {}, print: () => {} });
    await expect(missing).rejects.toThrow(/none\.mjs: there is no such file\.$/);
  });

  it('ends with the process that was killed, even while it computes without end', async () => {
    writeFileSync(at('loop.mjs'), `${writing}\nwrite(process.pid);\nexport default () => { for (;;); };`);
    writeFileSync(
      at('parent.mjs'),
      `import { openModuleSink } from ${JSON.stringify(path.join(root, 'dist/training/sinks/moduleSink.js'))};
const sink = await openModuleSink(${JSON.stringify(at('loop.mjs'))}, { warn: () => {}, print: () => {} });
sink.report({ kind: 'end', step: 1, state: 'done', reason: null });
setTimeout(() => process.kill(process.pid, 'SIGKILL'), 100);`,
    );
    await new Promise((resolve) => spawn(process.execPath, [at('parent.mjs')]).once('close', resolve));
    const process_ = `/proc/${written()[0]}`;
    const isThere = (): boolean => existsSync(process_) && !readFileSync(`${process_}/stat`, 'utf8').includes(') Z ');
    while (isThere()) await sleep(50);
    expect(written()).toHaveLength(1);
  });
});
