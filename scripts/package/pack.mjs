// npm makes the tarballs: entries in a fixed order, with a fixed time.

import { statSync } from 'node:fs';
import path from 'node:path';
import { SetupFailure, exitCodes, lastLines } from '../setup/failure.mjs';
import { npmCommand } from '../setup/packages.mjs';
import { runProgram } from '../setup/process.mjs';

/**
 * Packs a folder and prints the name and size of the tarball.
 * @param {string} stage
 * @param {string} output folder
 * @param {number} [mostBytes]
 * @throws SetupFailure if the tarball is larger
 */
export async function pack(stage, output, mostBytes = Infinity) {
  const [npm, ...first] = npmCommand();
  const args = ['pack', stage, '--pack-destination', output, '--ignore-scripts', '--silent'];
  const { status, output: said } = await runProgram(npm, [...first, ...args]);
  if (status !== 0) throw new SetupFailure(`npm pack failed:\n${lastLines(said, 15)}`);
  const file = path.join(output, said.trim().split('\n').at(-1) ?? '');
  const { size } = statSync(file);
  console.log(`${file}  ${(size / 1e6).toFixed(2)} MB`);
  if (size > mostBytes) {
    const limit = `${mostBytes / 1e6} MB, the limit in scripts/package/platforms.mjs`;
    throw new SetupFailure(`${file} is larger than ${limit}`, exitCodes.bug);
  }
  return file;
}
