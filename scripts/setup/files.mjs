// File system helpers for several steps of the set-up.

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** Size of a file in bytes; undefined where there is none. */
export function fileBytes(/** @type {string} */ file) {
  return statSync(file, { throwIfNoEntry: false })?.size;
}

/** Bytes of all files below a folder; 0 where there is none. Files that vanish meanwhile count nothing. */
export function folderBytes(/** @type {string} */ folder) {
  let bytes = 0;
  for (const file of filesBelow(folder)) bytes += fileBytes(file) ?? 0;
  return bytes;
}

/**
 * Absolute paths of all files below a folder, sorted; none where there is no folder.
 * @param {string} folder
 * @returns {string[]}
 */
export function filesBelow(folder) {
  let entries;
  try {
    entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  } catch {
    return []; // missing, or a part of it was removed while we looked
  }
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .sort();
}

/** The value in a JSON file; undefined where the file is missing or was cut off. */
export function readJson(/** @type {string} */ file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}

/**
 * Writes a file aside and renames it, so that it is never there in part.
 * @param {string} file
 * @param {string | Uint8Array} content
 * @param {number} [mode]
 */
export function writeWhole(file, content, mode = 0o644) {
  const aside = `${file}.${process.pid}`;
  try {
    writeFileSync(aside, content, { mode });
    renameSync(aside, file);
  } catch (error) {
    rmSync(aside, { force: true });
    throw error;
  }
}

/** SHA-256 in hex over the given parts, each followed by a zero byte. */
export function hashOf(/** @type {(string | Uint8Array)[]} */ ...parts) {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return hash.digest('hex');
}

/** SHA-256 of a file, as `hashOf` has it; undefined if there is none. */
export const fileHash = (/** @type {string} */ file) =>
  fileBytes(file) === undefined ? undefined : hashOf(readFileSync(file));
