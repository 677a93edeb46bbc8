// Step 4: clm's kernels (native/), compiled against the wheel's libtensorflow and kept beside it.
// src/runtime loads them from there.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { compilerFlags } from '../../native/flags.mjs';
import { compile, compilerCommand, linkFlags, oldLinux, withoutPaths } from './compiler.mjs';
import { filesBelow, hashOf, writeWhole } from './files.mjs';

/**
 * @typedef {object} Kernels
 * @property {string} directory of the sources
 * @property {string} file the compiled library, in the cache
 * @property {string[]} options of the compiler for every source
 * @property {string[]} sources the .cc files, absolute
 * @property {string[]} linked options and libraries of the linker
 */

/**
 * @param {string} root project folder
 * @param {import('./libtensorflow/libraries.mjs').Libraries} libraries
 * @returns {Kernels}
 */
export function locateKernels(root, libraries) {
  const directory = path.join(root, 'native');
  const files = filesBelow(directory).filter((file) => /\.(cc|h)$/.test(file));
  const options = [...compilerFlags, '-include', path.join(root, oldLinux), '-I', libraries.includeDirectory];
  const isDarwin = libraries.set.name.startsWith('darwin');
  // The library must stay loaded until the process ends: its threads have no end of their own.
  const linked = [...linkFlags(libraries), ...(isDarwin ? [] : ['-Xlinker', '-z', '-Xlinker', 'nodelete'])];
  const contents = files.map((file) => readFileSync(file));
  const shared = withoutPaths([...options, ...linked], root, libraries);
  const key = hashOf(...contents, process.env.CXX ?? '', libraries.set.name, ...shared).slice(0, 16);
  const extension = isDarwin ? 'dylib' : 'so';
  return {
    ...{ directory, options, sources: files.filter((file) => file.endsWith('.cc')), linked },
    file: path.join(libraries.libraryDirectory, `clm-kernels-${key}.${extension}`),
  };
}

/** The arguments of the compiler, without the output. @param {Kernels} kernels */
export const kernelArguments = ({ options, sources, linked }) => [...options, ...sources, ...linked];

/**
 * Compiles the kernels, even if the cache has them: set-up comes here only when something is missing, and it takes half
 * a minute. Also writes native/compile_commands.json for editors.
 * @param {Kernels} kernels
 * @param {import('./progress.mjs').Progress} progress
 * @returns {Promise<string>} the library's SHA-256
 * @throws SetupFailure
 */
export async function installKernels(kernels, progress) {
  const { directory, file: library, options, sources } = kernels;
  await compile(library, kernelArguments(kernels), "clm's kernels", progress);
  const command = [...compilerCommand(), ...options];
  const entries = sources.map((file) => ({ directory, file, arguments: [...command, '-c', file] }));
  writeWhole(path.join(directory, 'compile_commands.json'), `${JSON.stringify(entries, undefined, 2)}\n`);
  return hashOf(readFileSync(library));
}
