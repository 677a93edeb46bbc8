/** A checkpoint that is deleted while it is read. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { withChosenCheckpoint } from '../../src/checkpoint/chosenCheckpoint.ts';

let run: string;
const folder = (step: number): string => join(run, 'checkpoints', `step-0000000${step}`);

beforeEach(() => {
  run = mkdtempSync(join(tmpdir(), 'clm-test-'));
  mkdirSync(folder(1), { recursive: true });
});
afterEach(() => rmSync(run, { recursive: true }));

/** Fails for step 1, which training replaces by step 2 meanwhile. */
const read = async (directory: string): Promise<string> => {
  if (directory !== folder(1)) return directory;
  rmSync(folder(1), { recursive: true });
  mkdirSync(folder(2));
  throw new Error('gone');
};

test('last is chosen anew if its folder was deleted while it was read', async () => {
  expect(await withChosenCheckpoint(run, 'last', read)).toBe(folder(2));
});

test('a step that was deleted is not replaced by another', async () => {
  await expect(withChosenCheckpoint(run, '1', read)).rejects.toThrow('gone');
});

test('the error stands if the checkpoint is still the last', async () => {
  const fail = async (): Promise<never> => {
    throw new Error('damaged');
  };
  await expect(withChosenCheckpoint(run, 'last', fail)).rejects.toThrow('damaged');
});
