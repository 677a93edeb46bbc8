// What clm's npm package has unpacked into the cache folder (src/runtime/installation/unpack.ts): libtensorflow, and
// beside it a compiled binding and compiled kernels. A clone of the same sources uses it as it is.

import { readdirSync } from 'node:fs';
import path from 'node:path';
import { fileBytes } from '../files.mjs';
import { librariesAreComplete } from './libraries.mjs';

/**
 * Those libraries for the CPU beside which all of these files are; undefined if there are none.
 * @param {string} cache
 * @param {import('./libraries.mjs').Libraries} libraries that the set-up would fetch
 * @param {string[]} files names of what would be compiled: they depend on its sources
 * @returns {import('./libraries.mjs').Libraries | undefined}
 */
export function unpackedLibraries(cache, libraries, files) {
  if (!libraries.set.name.endsWith('-cpu')) return undefined;
  return namesIn(cache)
    .filter((name) => name.startsWith('libtensorflow-') && !name.includes('.partial-'))
    .map((name) => ({ ...libraries, folder: path.join(cache, name), libraryDirectory: path.join(cache, name) }))
    .find(
      (found) =>
        librariesAreComplete(found) &&
        files.every((file) => fileBytes(path.join(found.libraryDirectory, file)) !== undefined),
    );
}

function namesIn(/** @type {string} */ folder) {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
