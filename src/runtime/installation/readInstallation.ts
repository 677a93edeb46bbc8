/**
 * Finds what this clm computes with: a clone has what `npm run setup` wrote down, the npm package what its package for
 * this platform holds. Before anything native is loaded.
 */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { environmentFailure } from '../../errors.ts';
import type { Installation, UsableInstallation } from './installation.ts';
import { packagedInstallation, type PackageJson } from './platformPackage.ts';

// Three folders above this file, both as src/runtime/installation/… and as dist/runtime/installation/….
export const ownDirectory = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');

/**
 * The installation of the clone or package in `directory`: this one, except in tests. The first time, a package unpacks
 * libtensorflow into the cache folder, which takes seconds.
 * @throws environment failure, with the remedy, if there is none or a part of it is missing
 */
export function readInstallation(directory: string = ownDirectory): UsableInstallation {
  const packageJson = parsed(path.join(directory, 'package.json')) as PackageJson | undefined;
  if (packageJson?.optionalDependencies !== undefined) return packagedInstallation(directory, packageJson);
  const file = path.join(directory, 'node_modules/.clm-installation.json');
  const installation = parsed(file) as Partial<Installation> | null | undefined;
  const remedy = `run "npm run setup" in ${directory}`;
  // The set-up writes the file whole; a file without the last path is of another version of clm.
  if (typeof installation?.kernelsPath !== 'string')
    throw environmentFailure(`TensorFlow is not set up (${file} is missing or damaged): ${remedy}.`);
  const { bindingPath, libraryDirectory, kernelsPath } = installation as Installation;
  const missing = [bindingPath, libraryDirectory, kernelsPath].find((part) => !existsSync(part));
  if (missing !== undefined) throw environmentFailure(`TensorFlow's set-up is broken (${missing} is gone): ${remedy}.`);
  const cudaRemedy = 'run "npm run setup -- --device cuda"';
  return { ...(installation as Installation), remedy, cudaRemedy };
}

function parsed(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}
