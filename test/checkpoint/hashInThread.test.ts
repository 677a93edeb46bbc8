import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { hashInThread } from '../../src/checkpoint/hashInThread.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'clm-hash-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('hashes a file of several pieces while this thread is busy', async () => {
  const file = path.join(folder, 'file');
  const bytes = Buffer.from(Uint8Array.from({ length: 2_100_007 }, (_, i) => (i * i) % 251));
  writeFileSync(file, bytes);
  expect(await hashInThread(file)).toBe(createHash('sha256').update(bytes).digest('hex'));
  await expect(hashInThread(path.join(folder, 'none'))).rejects.toMatchObject({ code: 'ENOENT' });
});
