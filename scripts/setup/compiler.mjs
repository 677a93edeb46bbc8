// The C++ compiler of the machine, for what the set-up builds against libtensorflow.

import { mkdirSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { diskFull } from './cache.mjs';
import { SetupFailure, lastLines } from './failure.mjs';
import { findProgram, runProgram } from './process.mjs';

/**
 * Compiles a shared library aside and renames it, so that it is never there in part.
 * @param {string} output the file to make
 * @param {string[]} flags all arguments but the output
 * @param {string} what it is, for people
 * @param {import('./progress.mjs').Progress} progress
 * @param {[string, ...string[]]} [command]
 * @throws SetupFailure
 */
export async function compile(output, flags, what, progress, command = compilerCommand()) {
  const [compiler, ...first] = command;
  progress.step(`Compiling ${what} with ${compiler}.`);
  mkdirSync(path.dirname(output), { recursive: true });
  const aside = `${output}.${process.pid}`;
  const { status, output: messages } = await runProgram(compiler, [...first, ...flags, '-o', aside]);
  if (status !== 0) {
    rmSync(aside, { force: true });
    if (/No space left on device/.test(messages)) throw diskFull(path.dirname(output));
    throw new SetupFailure(
      `${compiler} could not compile ${what}. It must support C++17; set CXX to use ` +
        `another one.\n${lastLines(messages, 12)}`,
    );
  }
  renameSync(aside, output);
}

/** The header that every file includes first; below the project folder. */
export const oldLinux = 'native/oldLinux.h';

/**
 * What is linked: libtensorflow. The result looks for it in its own folder, wherever that is moved to.
 * @param {import('./libtensorflow/libraries.mjs').Libraries} libraries
 */
export function linkFlags({ set, libraryDirectory }) {
  const own = set.name.startsWith('darwin') ? '@loader_path' : '$ORIGIN';
  // The library finds CUDA relative to the path it was loaded by: it must be loaded from its own folder, by no link.
  const libraries = set.libraries.map((library) => path.join(libraryDirectory, library));
  return ['-Xlinker', '-rpath', '-Xlinker', own, ...libraries];
}

/**
 * Flags with the folders of this machine named by what they are, so that what is compiled of the same sources is found
 * again by another clone, and if it comes from a package.
 * @param {string[]} flags
 * @param {string} root
 * @param {import('./libtensorflow/libraries.mjs').Libraries} libraries
 */
export const withoutPaths = (flags, root, { siteDirectory }) =>
  flags.map((flag) => flag.replaceAll(siteDirectory, 'site').replaceAll(root, '.'));

/**
 * $CXX, which may hold arguments too, else the first C++ compiler on PATH.
 * @returns {[string, ...string[]]}
 */
export function compilerCommand() {
  const [named, ...options] = (process.env.CXX ?? '').split(' ').filter((word) => word !== '');
  const compiler = findProgram(named === undefined ? ['c++', 'g++', 'clang++'] : [named]);
  if (compiler !== undefined) return [compiler, ...options];
  throw new SetupFailure(
    (named === undefined
      ? 'No C++ compiler was found (c++, g++, clang++)'
      : `The C++ compiler of CXX, ${named}, was not found`) +
      '; the set-up needs one for the binding of tfjs-node: install it (Debian, Ubuntu: apt install g++; ' +
      'Fedora: dnf install gcc-c++; macOS: xcode-select --install) or name yours in CXX.',
  );
}
