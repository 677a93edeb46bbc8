// The cache folder: libtensorflow and compiled bindings, once a machine, shared by all clones of clm.

import { accessSync, constants, mkdirSync, statfsSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { SetupFailure } from './failure.mjs';
import { hashOf } from './files.mjs';

/** `clm` below the XDG cache folder. A relative XDG_CACHE_HOME is ignored, as the XDG specification says. */
export function cacheFolder(env = process.env, home = os.homedir()) {
  const base = env.XDG_CACHE_HOME;
  const folder = path.join(base !== undefined && path.isAbsolute(base) ? base : path.join(home, '.cache'), 'clm');
  if (folder.includes(':')) {
    throw new SetupFailure(
      `The cache folder ${folder} has a colon in its path, which library paths may not contain: ` +
        'set XDG_CACHE_HOME to a folder without one.',
    );
  }
  return folder;
}

/** Folder for what belongs to one clone but must outlive its node_modules: its lock and the device it was asked for. */
export function cloneFolder(/** @type {string} */ cache, /** @type {string} */ root) {
  return path.join(cache, 'clones', hashOf(root).slice(0, 16));
}

/**
 * Makes a folder of the cache and checks that it can be written.
 * @param {string} folder
 * @throws SetupFailure
 */
export function makeCacheFolder(folder) {
  try {
    mkdirSync(folder, { recursive: true });
    accessSync(folder, constants.W_OK);
  } catch (error) {
    const { code } = /** @type {NodeJS.ErrnoException} */ (error);
    if (code === 'ENOSPC') throw diskFull(folder);
    throw new SetupFailure(
      `The cache folder ${folder} cannot be written (${code}): make it writable, ` +
        'or set XDG_CACHE_HOME to another folder.',
    );
  }
}

/**
 * @param {string} folder where the bytes will be written
 * @param {number} neededBytes
 * @throws SetupFailure when there is less free
 */
export function requireFreeSpace(folder, neededBytes) {
  const { bavail, bsize } = statfsSync(folder);
  const freeBytes = bavail * bsize;
  if (freeBytes < neededBytes) throw diskFull(folder, neededBytes, freeBytes);
}

/**
 * @param {string} folder
 * @param {number} [neededBytes]
 * @param {number} [freeBytes]
 */
export function diskFull(folder, neededBytes, freeBytes) {
  const amounts =
    neededBytes === undefined || freeBytes === undefined
      ? ''
      : ` (${gigabytes(neededBytes)} are needed, ${gigabytes(freeBytes)} are free)`;
  return new SetupFailure(
    `The disk is too full for ${folder}${amounts}: free some space, or set XDG_CACHE_HOME to a folder on another disk.`,
  );
}

const gigabytes = (/** @type {number} */ bytes) => `${(bytes / 1e9).toFixed(1)} GB`;
