/**
 * Results that the user gives a name. Unlike a run's own files they may be links, which are written through: the file
 * that the link leads to is replaced, and the link stays.
 */
import { accessSync, constants, lstatSync, readlinkSync, statSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { wrongInput } from '../errors.ts';
import { diskFailure, errorCode } from './diskFailure.ts';
import { isDevice, writeFileDurably } from './durable.ts';

/** As many as Linux follows. */
const mostLinks = 40;

/** Where a path leads to through symbolic links; it need not exist. @throws wrongInput for links in a circle */
export function linkTarget(path: string): string {
  let target = path;
  for (let links = 0; lstatSync(target, { throwIfNoEntry: false })?.isSymbolicLink(); links++) {
    if (links === mostLinks) throw wrongInput(`${path}: its links form a loop. Remove the link, or name another file.`);
    target = resolve(dirname(target), readlinkSync(target));
  }
  return target;
}

/**
 * Writes a file as a whole. It is replaced by renaming, so that it is never half written, except where that would part
 * it from another name (a hard link), and where only the file, not its folder, may be written.
 * @throws environmentFailure as `writeFileDurably`
 */
export async function writeOutputFile(path: string, contents: string): Promise<void> {
  if (isDevice(path)) return writeFileDurably(path, contents);
  const target = linkTarget(path);
  if ((statSync(target, { throwIfNoEntry: false })?.nlink ?? 1) > 1) return writeInPlace(target, contents);
  try {
    await writeFileDurably(target, contents);
  } catch (error) {
    const code = error instanceof Error ? errorCode(error.cause) : undefined;
    if ((code !== 'EACCES' && code !== 'EPERM') || !isWritable(target)) throw error;
    await writeInPlace(target, contents);
  }
}

async function writeInPlace(path: string, contents: string): Promise<void> {
  try {
    await writeFile(path, contents);
  } catch (error) {
    throw diskFailure(error, 'write', path);
  }
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
