/** Runs as GGUF files: what is written, and what is refused. `npm run check -- gguf` has llama.cpp load them. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exportGguf } from '../../src/gguf/exportGguf.ts';
import { importModel } from '../../src/huggingface/importModel.ts';
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

  it('leaves nothing behind when the disk refuses', async () => {
    await expect(exportGguf(at('llama'), at('mine.gguf/inside.gguf'), options)).rejects.toThrow(/mine\.gguf/);
    expect(readdirSync(folder).filter((name) => name.includes('unfinished'))).toEqual([]);
    expect(existsSync(at('mine.gguf/inside.gguf'))).toBe(false);
  });
});
