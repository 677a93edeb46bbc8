// npm makes the tarballs: entries in a fixed order, with a fixed time.

import { statSync } from 'node:fs';
import path from 'node:path';
import { SetupFailure, exitCodes, lastLines } from '../setup/failure.mjs';
import { npmCommand } from '../setup/packages.mjs';
import { runProgram } from '../setup/process.mjs';

/**
 * Packs a folder.
 * @param {string} stage
 * @param {string} output folder
 * @param {number} mostBytes
 * @returns {Promise<{ file: string, size: number }>} the tarball
 * @throws SetupFailure if the tarball is larger
 */
export async function pack(stage, output, mostBytes) {
  const [npm, ...first] = npmCommand();
  const args = ['pack', stage, '--pack-destination', output, '--ignore-scripts', '--silent'];
  const { status, output: said } = await runProgram(npm, [...first, ...args]);
  if (status !== 0) throw new SetupFailure(`npm pack failed:\n${lastLines(said, 15)}`);
  const file = path.join(output, said.trim().split('\n').at(-1) ?? '');
  const { size } = statSync(file);
  if (size > mostBytes) {
    const limit = `${mostBytes / 1e6} MB, the limit in scripts/package/platforms.mjs`;
    throw new SetupFailure(`${file} is larger than ${limit}`, exitCodes.bug);
  }
  return { file, size };
}
