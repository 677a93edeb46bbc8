// What a soak must notice, loaded into its process beside the probe: keeps a little of every checkpoint that is saved,
// of the kind that CLM_SOAK_LEAK names: a kilobyte of the JavaScript heap or of C's, a tensor, an open file.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import path from 'node:path';
import koffi from 'koffi';

const malloc = koffi.load('libc.so.6').func('void* malloc(size_t)');
/** @type {unknown[]} */
const kept = [];
/** @type {Record<string, () => unknown>} */
const kinds = {
  heap: () => kept.push(Array.from({ length: 128 }, Math.random)),
  allocated: () => malloc(1024),
  tensors: () => kept.push(/** @type {any} */ (globalThis)._tfengine.makeTensor(new Float32Array(1), [], 'float32')),
  files: () => fs.openSync('/dev/null', 'r'),
};
const leak = kinds[process.env['CLM_SOAK_LEAK'] ?? ''];
if (leak === undefined) throw new Error(`there is a leak of ${Object.keys(kinds).join(', ')}`);
const { rename } = fs.promises;
fs.promises.rename = (from, to) => {
  if (path.basename(String(to)).startsWith('step-')) leak();
  return rename(from, to);
};
syncBuiltinESMExports();
