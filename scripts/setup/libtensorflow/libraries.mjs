// Step 2: libtensorflow, in the wheels' own layout, in the cache:
//   <cache>/tensorflow-2.21.0-linux-x64-cpu-<hash of the pins>/
//     manifest.json     sizes of the libraries
//     site/tensorflow   libraries, headers, and what is compiled against them (binding.mjs, kernels.mjs); for CUDA
//                       beside it site/nvidia, where the library looks for it
// It is filled as <folder>.partial and renamed when whole, so a folder of the final name is complete.

import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { diskFull, makeCacheFolder, requireFreeSpace } from '../cache.mjs';
import { fetchWheel } from './download.mjs';
import { fileBytes, folderBytes, hashOf, readJson } from '../files.mjs';
import { withLock } from '../lock.mjs';
import { parseRequirements, tensorflowVersion, wheelSet } from './wheels.mjs';

/**
 * Where the libraries of a platform and device are, or will be.
 * @typedef {object} Libraries
 * @property {import('./wheels.mjs').WheelSet} set
 * @property {import('./wheels.mjs').Requirement[]} requirements
 * @property {string} folder
 * @property {string} siteDirectory
 * @property {string} libraryDirectory holds libtensorflow itself
 * @property {string} includeDirectory
 */

/**
 * @param {string} root project folder
 * @param {string} cache
 * @param {{ platform: string, arch: string }} machine
 * @param {import('../device.mjs').Device} device
 * @returns {Libraries}
 */
export function locateLibraries(root, cache, { platform, arch }, device) {
  const set = wheelSet(platform, arch, device);
  const text = readFileSync(path.join(root, `scripts/setup/libtensorflow/requirements/${set.name}.txt`), 'utf8');
  const requirements = parseRequirements(text);
  const content = hashOf(...requirements.map(({ pin }) => pin), ...set.members).slice(0, 12);
  const folder = path.join(cache, `tensorflow-${tensorflowVersion}-${set.name}-${content}`);
  const siteDirectory = path.join(folder, 'site');
  const libraryDirectory = path.join(siteDirectory, 'tensorflow');
  const includeDirectory = path.join(libraryDirectory, 'include');
  return { set, requirements, folder, siteDirectory, libraryDirectory, includeDirectory };
}

/** Are the libraries there, in their full size? */
export function librariesAreComplete(/** @type {Libraries} */ { folder, libraryDirectory, set }) {
  const sizes = readJson(path.join(folder, 'manifest.json'))?.libraryBytes;
  if (sizes === undefined) return false;
  return set.libraries.every((library) => fileBytes(path.join(libraryDirectory, library)) === sizes[library]);
}

/**
 * Fetches the libraries unless they are there. Wheels that an interrupted set-up has unpacked are not fetched again.
 * @param {Libraries} libraries
 * @param {import('../progress.mjs').Progress} progress
 * @throws SetupFailure
 */
export async function installLibraries(libraries, progress) {
  const { folder } = libraries;
  makeCacheFolder(path.dirname(folder));
  await withLock(`${folder}.lock`, progress, async () => {
    if (librariesAreComplete(libraries)) return; // fetched by another set-up while we waited
    try {
      await fill(libraries, progress);
    } catch (error) {
      throw /** @type {NodeJS.ErrnoException} */ (error).code === 'ENOSPC' ? diskFull(folder) : error;
    }
  });
}

/**
 * @param {Libraries} libraries
 * @param {import('../progress.mjs').Progress} progress
 */
async function fill({ folder, siteDirectory, requirements, set }, { longStep, percent, endPercent }) {
  const partial = `${folder}.partial`;
  const site = path.join(partial, path.basename(siteDirectory));
  mkdirSync(site, { recursive: true });
  const missing = requirements.filter((requirement) => fileBytes(unpackedMark(partial, requirement)) === undefined);
  const largestBytes = Math.max(0, ...missing.map(({ bytes }) => bytes));
  if (missing.length > 0) {
    // pip has the wheel twice for a moment: in its temporary folder and where it was told to put it.
    requireFreeSpace(partial, Math.max(0, set.unpackedBytes - folderBytes(site)) + 2 * largestBytes);
  }
  let doneBytes = 0;
  const totalBytes = missing.reduce((sum, { bytes }) => sum + bytes, 0);
  for (const requirement of missing) {
    const { name, version, bytes } = requirement;
    longStep(`Downloading ${name} ${version} (${Math.round(bytes / 1e6)} MB) to ${folder}, once for all clones.`);
    await fetchWheel(requirement, set, path.join(partial, 'download'), site, (downloadedBytes) =>
      percent('download', (doneBytes + Math.min(bytes, downloadedBytes)) / totalBytes),
    );
    endPercent();
    writeFileSync(unpackedMark(partial, requirement), '');
    doneBytes += bytes;
  }
  const libraryBytes = Object.fromEntries(
    set.libraries.map((library) => {
      const size = fileBytes(path.join(site, 'tensorflow', library));
      if (size === undefined) throw new Error(`${library} is not in the wheels of ${set.name}`);
      return [library, size];
    }),
  );
  writeFileSync(path.join(partial, 'manifest.json'), JSON.stringify({ libraryBytes }));
  rmSync(folder, { recursive: true, force: true }); // a damaged one
  renameSync(partial, folder);
}

/**
 * The empty file that says that a wheel is wholly unpacked.
 * @param {string} partial
 * @param {{ pin: string }} requirement
 */
export const unpackedMark = (partial, { pin }) => path.join(partial, `unpacked-${hashOf(pin).slice(0, 12)}`);
