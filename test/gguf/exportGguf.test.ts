/** Runs as GGUF files: what is written, and what is refused. `npm run check -- gguf` has llama.cpp load them. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exportGguf } from '../../src/gguf/exportGguf.ts';
import { importAdapter } from '../../src/huggingface/adapters/importAdapter.ts';
import { importModel } from '../../src/huggingface/importModel.ts';
import { resolveCheckpoint } from '../../src/run/findCheckpoint.ts';
import { fixture } from '../huggingface/fixtures.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'clm-gguf-'));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => path.join(folder, name);
const options = { checkpoint: 'last', dtype: 'float32' } as const;

beforeAll(async () => {
  await importModel(fixture('llama'), at('llama'), { contextLength: null });
});

describe('exportGguf', () => {
  it('writes equal bytes for an equal run, and never over a file', async () => {
    const { bytes, kind } = await exportGguf(at('llama'), at('one.gguf'), options);
    expect(kind).toBe('llama');
    await exportGguf(at('llama'), at('two.gguf'), options);
    const one = readFileSync(at('one.gguf'));
    expect(one.subarray(0, 8).toString('latin1')).toBe('GGUF\x03\0\0\0');
    expect(one.length).toBe(bytes);
    expect(one.equals(readFileSync(at('two.gguf')))).toBe(true);
    writeFileSync(at('mine.gguf'), 'mine');
    await expect(exportGguf(at('llama'), at('mine.gguf'), options)).rejects.toThrow(/mine\.gguf exists already/);
    expect(readFileSync(at('mine.gguf'), 'utf8')).toBe('mine');
  });

  it('removes what an export that was killed has left, and not what another is writing', async () => {
    const left = (pid: number, time: number) => `.four.gguf.clm-unfinished-${pid}-${time.toString(36)}-0`;
    const { pid } = spawnSync(process.execPath, ['--version']);
    const before = Math.floor(performance.timeOrigin) - 1000;
    const gone = [left(pid, Date.now()), left(process.pid, before)];
    const kept = [left(process.ppid, before), left(process.pid, Date.now()), '.five.gguf.clm-unfinished-1-a-0'];
    for (const name of [...gone, ...kept]) writeFileSync(at(name), 'part');
    await exportGguf(at('llama'), at('four.gguf'), options);
    expect([...gone, ...kept].filter((name) => existsSync(at(name)))).toEqual(kept);
    for (const name of kept) rmSync(at(name));
  });

  it('says of --adapter first whether the run has one', async () => {
    const failure = exportGguf(at('llama'), at('five.gguf'), { ...options, as: 'adapter' });
    await expect(failure).rejects.toThrow('has no adapter; export it without --adapter');
  });

  it('is refused as a run, with the command that imports it', async () => {
    await expect(resolveCheckpoint(at('one.gguf'), 'last')).rejects.toThrow(
      `${at('one.gguf')} is a GGUF file, not a run. Import it first: clm import ${at('one.gguf')} --run runs/one`,
    );
    await expect(resolveCheckpoint(fixture('llama'), 'last')).rejects.toThrow('--run runs/llama');
    const adapter = importAdapter(at('one.gguf'), at('tuned'), { base: at('llama') });
    await expect(adapter).rejects.toThrow('A model in GGUF is imported without --base.');
  });

  it('leaves nothing behind when the disk refuses', async () => {
    await expect(exportGguf(at('llama'), at('mine.gguf/inside.gguf'), options)).rejects.toThrow(/mine\.gguf/);
    expect(readdirSync(folder).filter((name) => name.includes('unfinished'))).toEqual([]);
    expect(existsSync(at('mine.gguf/inside.gguf'))).toBe(false);
  });
});
