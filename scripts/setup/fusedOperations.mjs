// Step 4: clm's own operations (native), compiled against the wheel's libtensorflow and kept beside it.
// src/ops/fusedOperations.ts loads them from there.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { compile } from './compiler.mjs';
import { fileBytes, filesBelow, hashOf } from './files.mjs';

/**
 * @typedef {object} FusedOperations
 * @property {string} cached the compiled library, absolute
 * @property {string[]} flags of the compiler, without the output
 */

/**
 * @param {string} root project folder
 * @param {import('./libtensorflow/libraries.mjs').Libraries} libraries
 * @returns {FusedOperations}
 */
export function locateFusedOperations(root, { folder, set, includeDirectory, libraryDirectory }) {
  const directory = path.join(root, 'native');
  const files = filesBelow(directory).filter((file) => /\.(cc|h)$/.test(file));
  const options = [
    ...[
      '-O3',
      '-std=c++17',
      '-fPIC',
      '-shared',
      '-pthread',
      '-fvisibility=hidden',
      '-fno-math-errno',
      '-fno-trapping-math',
    ],
    ...['-I', includeDirectory, '-Xlinker', '-rpath', '-Xlinker', libraryDirectory],
  ];
  const linked = set.libraries.map((library) => path.join(libraryDirectory, library));
  const key = hashOf(
    ...files.map((file) => readFileSync(file)),
    process.env.CXX ?? '',
    process.arch,
    ...options,
    ...linked,
  ).slice(0, 16);
  return {
    cached: path.join(folder, 'operations', `${key}${process.platform === 'darwin' ? '.dylib' : '.so'}`),
    flags: [...options, ...files.filter((file) => file.endsWith('.cc')), ...linked],
  };
}

/** SHA-256 of the compiled library, undefined where there is none. */
export const fusedOperationsHash = (/** @type {FusedOperations} */ { cached }) =>
  fileBytes(cached) === undefined ? undefined : hashOf(readFileSync(cached));

/**
 * Compiles the operations, also where the cache has them: set-up comes here only when something is missing, and it
 * takes some ten seconds.
 * @param {FusedOperations} operations
 * @param {import('./progress.mjs').Progress} progress
 * @returns {Promise<string>} the library's SHA-256
 * @throws SetupFailure
 */
export async function installFusedOperations({ cached, flags }, progress) {
  await compile(cached, flags, "clm's own operations", progress);
  return hashOf(readFileSync(cached));
}
