/**
 * Damages a small checkpoint in every way that one flipped bit or a cut file can; clm must notice each.
 *
 *   npm run check -- damage [FLIPS=1000 [SEED=1]]
 *
 * Flips every bit of the headers, of state.json, config.yaml and tokenizer.json, and FLIPS random bits of the tensor
 * data of each file; cuts every file to every length.
 *
 * Time: 10 s
 */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { loadCheckpoint, saveCheckpoint } from '#clm/checkpoint/checkpoint.js';
import { readSafetensors } from '#clm/tensors/safetensors.js';
import { scratchFolder } from '../../lib/clm.mjs';

const [flips = 1000, seed = 1] = process.argv.slice(2).map(Number);
let state = seed;
const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
const run = scratchFolder('damage');
const values = (/** @type {number} */ count) => Float32Array.from({ length: count }, () => random() - 0.5);
const tensors = (/** @type {string[]} */ names) =>
  names.map((name) => ({ name, shape: [16, 24], values: values(384) }));
const folder = await saveCheckpoint(
  run,
  {
    step: 7,
    state: { cursor: { epoch: 1 } },
    configText: 'name: small\n',
    tokenizerText: '{"kind":"bytes"}\n',
    model: tensors(['embedding', 'blocks.0.attention.query']),
    optimizer: tensors(['moment/embedding', 'moment/blocks.0.attention.query']),
  },
  { keepLast: 1 },
);
let tried = 0;
let headersAlone = 0;
/** @param {string} file @param {Buffer} bytes @param {string} what */
async function mustBeNoticed(file, bytes, what) {
  writeFileSync(file, bytes);
  tried++;
  const failure = await loadCheckpoint(folder, { optimizer: true }).then(
    () => undefined,
    (error) => error,
  );
  if (failure === undefined) throw new Error(`${what} of ${file} was not noticed`);
  if (failure.kind !== 'wrongInput') throw failure;
  // The reader of safetensors alone must not crash either, whatever it makes of it.
  if (!file.endsWith('.safetensors')) return;
  const bare = await readSafetensors(file).then(
    () => undefined,
    (error) => error,
  );
  if (bare !== undefined && bare.kind !== 'wrongInput') throw bare;
  if (bare !== undefined) headersAlone++;
}

for (const name of ['state.json', 'config.yaml', 'tokenizer.json', 'model.safetensors', 'optimizer.safetensors']) {
  const file = path.join(folder, name);
  const whole = readFileSync(file);
  const dataStart = name.endsWith('.safetensors') ? 8 + Number(whole.readBigUInt64LE()) : whole.length;
  const flipped = (/** @type {number} */ bit) => {
    const bytes = Buffer.from(whole);
    bytes[bit >> 3] ^= 1 << (bit & 7);
    return bytes;
  };
  for (let bit = 0; bit < 8 * dataStart; bit++) await mustBeNoticed(file, flipped(bit), `flip of bit ${bit}`);
  if (dataStart < whole.length) {
    for (let flip = 0; flip < flips / 2; flip++) {
      const bit = 8 * dataStart + Math.floor(random() * 8 * (whole.length - dataStart));
      await mustBeNoticed(file, flipped(bit), `flip of bit ${bit}`);
    }
  }
  for (let length = 0; length < whole.length; length++)
    await mustBeNoticed(file, whole.subarray(0, length), `cut to ${length}`);
  writeFileSync(file, whole);
  await loadCheckpoint(folder, { optimizer: true });
  console.log(`${name}: ${8 * dataStart} bits of text or header and ${whole.length} lengths`);
}
console.log(`damage: ${tried} damaged checkpoints, all noticed (${headersAlone} by the safetensors reader alone)`);
