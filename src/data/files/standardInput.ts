/**
 * Standard input as a file of the corpus: epochs and validation read it again, so it is kept for as long as clm runs.
 */
import { createWriteStream, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';

import { environmentFailure } from '../../errors.ts';

let kept: Promise<string> | undefined;

/** The path of a temporary file with all of standard input, which is read once and removed when the process ends. */
export function standardInputFile(): Promise<string> {
  kept ??= keepStandardInput();
  return kept;
}

async function keepStandardInput(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'clm-stdin-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'standard-input');
  try {
    await pipeline(process.stdin, createWriteStream(path));
  } catch (error) {
    throw environmentFailure(`Standard input cannot be kept in ${path}: ${(error as Error).message}.`, {
      cause: error,
    });
  }
  return path;
}
