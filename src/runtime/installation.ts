// The installation that `npm run setup` wrote down: which libtensorflow, where, and for which device. Read before
// anything native is loaded.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { environmentFailure } from '../errors.ts';

/** All paths are absolute. Written by scripts/setup/installation.mjs. */
export interface Installation {
  tensorflowVersion: string;
  device: 'cpu' | 'cuda';
  /** Why this device was chosen, as the end of "TensorFlow for the CPU: …". */
  why: string;
  /** Holds the unpacked wheels: `tensorflow`, and `nvidia` for CUDA. */
  siteDirectory: string;
  /** Holds libtensorflow itself. */
  libraryDirectory: string;
  includeDirectory: string;
  /** The native addon that tfjs-node loads. */
  bindingPath: string;
  /** The library of clm's kernels (native/). */
  kernelsPath: string;
}

// Two folders above this file, both as src/runtime/installation.ts and as dist/runtime/installation.js.
const projectDirectory = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

/**
 * The installation of the clone in `directory`: this one, except in tests.
 * @throws environment failure, with the remedy, if there is none or a part of it is missing
 */
export function readInstallation(directory: string = projectDirectory): Installation {
  const file = path.join(directory, 'node_modules/.clm-installation.json');
  const installation = parseInstallation(file);
  if (installation === undefined) {
    throw environmentFailure(
      `TensorFlow is not set up (${file} is missing or damaged): run "npm run setup" in ${directory}.`,
    );
  }
  const { bindingPath, libraryDirectory, kernelsPath } = installation;
  const missing = [bindingPath, libraryDirectory, kernelsPath].find((part) => !existsSync(part));
  if (missing !== undefined) {
    throw environmentFailure(
      `TensorFlow's set-up is broken (${missing} is gone): run "npm run setup" in ${directory}.`,
    );
  }
  return installation;
}

function parseInstallation(file: string): Installation | undefined {
  try {
    const value = JSON.parse(readFileSync(file, 'utf8')) as Partial<Installation> | null;
    // The set-up writes the file whole; a file without the last path is of another version of clm.
    return typeof value?.kernelsPath === 'string' ? (value as Installation) : undefined;
  } catch {
    return undefined;
  }
}
