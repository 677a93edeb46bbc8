/**
 * Unpacks libtensorflow from its npm package into the cache folder, once for all versions of clm that have the same. A
 * folder of the final name is complete: it is filled under another name, flushed and renamed. So an unpacking may be
 * killed at any point, and several may run at once.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import path from 'node:path';
import { brotliDecompressSync } from 'node:zlib';
import { environmentFailure, ExpectedError } from '../../errors.ts';
import { errorCode } from '../../storage/diskFailure.ts';
import { cacheFolder, partialPrefix, removeRemains } from './cacheFolder.ts';
import { notices } from './notices.ts';

interface PackedFile {
  name: string;
  bytes: number;
  sha256: string;
}

/** manifest.json of a platform's package, written by scripts/package/platformPackage.mjs. */
export interface Manifest {
  tensorflowVersion: string;
  /** The name in the cache folder. It depends on the bytes of the libraries alone. */
  folder: string;
  /** Each is in the package as NAME.br: blocks of that many bytes one after the other, each compressed with brotli. */
  libraries: (PackedFile & { blocks: number[] })[];
  /** Not compressed. Copied beside the libraries, by a name that depends on their sources. */
  binding: PackedFile;
  kernels: PackedFile;
}

/**
 * The folder that holds all files of the manifest, which is filled if they are not there.
 * @throws environment failure with the remedy if it cannot be
 */
export function unpackedFolder(packageFolder: string, manifest: Manifest): string {
  const cache = cacheFolder();
  const folder = path.join(cache, manifest.folder);
  try {
    if (!areThere(folder, manifest.libraries)) unpackLibraries(packageFolder, manifest, cache, folder);
    for (const file of [manifest.binding, manifest.kernels])
      if (!areThere(folder, [file])) copyWhole(packageFolder, file, folder);
  } catch (error) {
    throw explained(error, folder);
  }
  try {
    fs.utimesSync(folder, new Date(), new Date()); // for `clm doctor`: when it was last used
  } catch {
    // A cache that cannot be written is used as it is.
  }
  return folder;
}

const areThere = (folder: string, files: readonly PackedFile[]): boolean =>
  files.every(({ name, bytes }) => fs.statSync(path.join(folder, name), { throwIfNoEntry: false })?.size === bytes);

function unpackLibraries(packageFolder: string, { libraries }: Manifest, cache: string, folder: string): void {
  fs.mkdirSync(cache, { recursive: true });
  removeRemains(cache);
  const totalBytes = libraries.reduce((sum, { bytes }) => sum + bytes, 0);
  refuseFullDisk(cache, totalBytes);
  const partial = fs.mkdtempSync(partialPrefix(folder));
  try {
    fs.chmodSync(partial, 0o755);
    refuseNoexec(partial);
    let doneBytes = 0;
    for (const library of libraries)
      unpackFile(packageFolder, library, partial, (bytes) =>
        notices.unpacking(folder, totalBytes, (doneBytes += bytes) / totalBytes),
      );
    // As the set-up of a clone writes it, which uses this folder, too.
    const libraryBytes = Object.fromEntries(libraries.map(({ name, bytes }) => [name, bytes]));
    fs.writeFileSync(path.join(partial, 'manifest.json'), JSON.stringify({ libraryBytes }), { flush: true });
    moveTo(partial, folder, libraries);
  } finally {
    notices.unpacking(folder, totalBytes, 1);
    fs.rmSync(partial, { recursive: true, force: true });
  }
}

/** @param onBlock called with the bytes of each block written */
function unpackFile(
  packageFolder: string,
  { name, bytes, sha256, blocks }: Manifest['libraries'][number],
  partial: string,
  onBlock: (bytes: number) => void,
): void {
  const packed = path.join(packageFolder, `${name}.br`);
  const source = fs.openSync(packed, 'r');
  const target = fs.openSync(path.join(partial, name), 'wx', 0o755);
  const hash = createHash('sha256');
  try {
    onBlock(0);
    for (const length of blocks) {
      const compressed = Buffer.alloc(length);
      if (fs.readSync(source, compressed) !== length) throw damaged(packed);
      const block = decompressed(compressed, packed);
      hash.update(block);
      for (let written = 0; written < block.length; ) written += fs.writeSync(target, block, written);
      onBlock(block.length);
    }
    if (hash.digest('hex') !== sha256 || fs.fstatSync(target).size !== bytes) throw damaged(packed);
    fs.fsyncSync(target);
  } finally {
    fs.closeSync(source);
    fs.closeSync(target);
  }
}

function decompressed(block: Buffer, file: string): Buffer {
  try {
    return brotliDecompressSync(block);
  } catch {
    throw damaged(file);
  }
}

const damaged = (file: string): ExpectedError =>
  environmentFailure(
    `${file} is damaged. Install clm again; if that does not help, empty npm's cache before (npm cache clean --force).`,
  );

/** Gives the filled folder its final name, unless another process was faster. */
function moveTo(partial: string, folder: string, libraries: readonly PackedFile[]): void {
  if (areThere(folder, libraries)) return;
  fs.rmSync(folder, { recursive: true, force: true }); // damaged, e.g. by somebody who freed space
  try {
    fs.renameSync(partial, folder);
  } catch (error) {
    if (!areThere(folder, libraries)) throw error;
  }
}

/** Copies one of the small files beside the libraries, aside first, so that it is never there in part. */
function copyWhole(packageFolder: string, { name, sha256 }: PackedFile, folder: string): void {
  const file = path.join(packageFolder, name);
  const content = fs.readFileSync(file);
  if (createHash('sha256').update(content).digest('hex') !== sha256) throw damaged(file);
  const aside = path.join(folder, `${name}.${process.pid}`);
  try {
    fs.writeFileSync(aside, content, { mode: 0o755, flush: true });
    fs.renameSync(aside, path.join(folder, name));
  } finally {
    fs.rmSync(aside, { force: true });
  }
}

const megabytes = (bytes: number): string => `${Math.ceil(bytes / 1e6)} MB`;

function refuseFullDisk(cache: string, neededBytes: number): void {
  const { bavail, bsize } = fs.statfsSync(cache);
  if (bavail * bsize >= neededBytes) return;
  throw diskFull(cache, ` (${megabytes(neededBytes)} are needed, ${megabytes(bavail * bsize)} are free)`);
}

const diskFull = (folder: string, amounts = ''): ExpectedError =>
  environmentFailure(
    `The disk is too full to unpack libtensorflow into ${folder}${amounts}: free some space, or set XDG_CACHE_HOME ` +
      'to a folder on another disk.',
  );

/** On a file system mounted with "noexec" no library can be loaded, nor any program started. */
function refuseNoexec(partial: string): void {
  const probe = path.join(partial, 'probe');
  fs.writeFileSync(probe, '', { mode: 0o755 });
  const { error } = spawnSync(probe, { stdio: 'ignore' });
  fs.rmSync(probe);
  if (errorCode(error) !== 'EACCES') return;
  throw environmentFailure(
    `${path.dirname(partial)} is on a file system mounted "noexec", from which libtensorflow cannot be loaded: ` +
      'set XDG_CACHE_HOME to a folder on another one.',
  );
}

/** A refusal of the file system with its remedy; any other error as it is. */
function explained(error: unknown, folder: string): unknown {
  const code = errorCode(error) ?? '';
  if (error instanceof ExpectedError) return error;
  if (code === 'ENOSPC' || code === 'EDQUOT') return diskFull(folder);
  if (!['EROFS', 'EACCES', 'EPERM', 'ENOTDIR', 'ENOENT', 'EEXIST', 'EIO'].includes(code)) return error;
  return environmentFailure(
    `libtensorflow cannot be unpacked into ${folder} (${(error as Error).message}). Make it writable for this user, ` +
      'or set XDG_CACHE_HOME to a folder that is.',
    { cause: error },
  );
}
