// Compresses libtensorflow with brotli, which every Node decompresses: blocks one after the other, so that several are
// compressed at once and a user's process never holds more than one.

import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync, renameSync, rmSync, writeSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { fileBytes, hashOf, readJson, writeWhole } from '../setup/files.mjs';

const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_LGWIN } = zlib.constants;
/** Quality 9 takes eight times as long for 2 to 4 % less. A window of 2²⁴ bytes is the largest. */
const params = { [BROTLI_PARAM_QUALITY]: 6, [BROTLI_PARAM_LGWIN]: 24 };
const blockBytes = 2 ** 26;

/**
 * @typedef {object} CompressedFile
 * @property {string} name
 * @property {number} bytes
 * @property {string} sha256 of what was compressed
 * @property {number[]} blocks compressed bytes of each block
 * @property {string} [file] that holds the blocks
 */

/**
 * The compressed form of a file, from the folder if it is there.
 * @param {string} source
 * @param {string} folder
 * @param {import('../setup/progress.mjs').Progress} progress
 * @param {(target: string) => Promise<void>} prepare writes what is to be compressed
 * @returns {Promise<CompressedFile>}
 */
export async function compressed(source, folder, progress, prepare) {
  const name = path.basename(source);
  // The folder is of one version of the file; versions of brotli may differ in their bytes.
  const key = hashOf(JSON.stringify(params), String(blockBytes), process.versions.brotli ?? '').slice(0, 12);
  const [file, facts] = ['br', 'json'].map((extension) => path.join(folder, `${name}.${key}.${extension}`));
  const known = readJson(facts);
  if (known !== undefined && fileBytes(file) === known.packedBytes) return { ...known.facts, file };
  progress.longStep(`Compressing ${name}, once.`);
  const prepared = path.join(folder, `${name}.${process.pid}`);
  try {
    await prepare(prepared);
    const { packedBytes, ...described } = await compress(prepared, `${file}.${process.pid}`, progress);
    renameSync(`${file}.${process.pid}`, file);
    writeWhole(facts, JSON.stringify({ packedBytes, facts: { name, ...described } }));
    return { name, ...described, file };
  } finally {
    for (const aside of [prepared, `${file}.${process.pid}`]) rmSync(aside, { force: true });
    progress.endPercent();
  }
}

/**
 * @param {string} source
 * @param {string} target
 * @param {import('../setup/progress.mjs').Progress} progress
 */
async function compress(source, target, progress) {
  const brotli = promisify(zlib.brotliCompress);
  const bytes = fileBytes(source) ?? 0;
  const [input, output] = [openSync(source, 'r'), openSync(target, 'w')];
  const hash = createHash('sha256');
  /** @type {number[]} */
  const blocks = [];
  try {
    /** @type {Promise<Buffer>[]} blocks being compressed, in the order of the file */
    const running = [];
    for (let start = 0; start < bytes || running.length > 0; ) {
      if (start < bytes && running.length < os.availableParallelism()) {
        const block = Buffer.alloc(Math.min(blockBytes, bytes - start));
        if (readSync(input, block, 0, block.length, start) !== block.length) throw new Error(`${source} was cut`);
        hash.update(block);
        running.push(brotli(block, { params }));
        start += block.length;
        continue;
      }
      const packed = await /** @type {Promise<Buffer>} */ (running.shift());
      for (let written = 0; written < packed.length; ) written += writeSync(output, packed, written);
      blocks.push(packed.length);
      progress.percent('compress', (blocks.length * blockBytes) / bytes);
    }
  } finally {
    closeSync(input);
    closeSync(output);
  }
  const packedBytes = blocks.reduce((sum, block) => sum + block, 0);
  return { bytes, sha256: hash.digest('hex'), blocks, packedBytes };
}
