/**
 * From the sources of a config to the files of a corpus: files, folders and globs become one ordered list.
 * First half of row 4 of the walk (docs: shards → documents).
 */
import { createWriteStream, mkdtempSync, rmSync } from 'node:fs';
import { open, realpath, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { glob, isDynamicPattern } from 'tinyglobby';

import { environmentFailure, wrongInput } from '../../errors.ts';

/** A file by its absolute path, and the place in the config of the source that named it first. */
interface SourceFile {
  readonly path: string;
  readonly source: number;
}

/**
 * The files that the sources name: sources in the order of the config, the files of one source
 * sorted by the bytes of their paths. Of a folder, all files at any depth whose names don't begin with a dot. A file
 * named twice, also by way of a link, counts once, at its first place. `-` is standard input, kept in a temporary file.
 * @throws wrongInput naming the source that is missing, unreadable, empty or no file, folder or glob.
 */
export async function sourceFiles(
  sources: readonly { path: string }[],
  section = 'corpus.sources',
): Promise<SourceFile[]> {
  const fileByIdentity = new Map<string, SourceFile>();
  for (const [index, source] of sources.entries()) {
    const key = section === 'corpus.sources' ? `${section}[${index}].path` : section;
    const paths = source.path === '-' ? [await standardInputFile()] : await filesOfSource(resolve(source.path), key);
    let sourceBytes = 0;
    for (const path of paths) {
      const { identity, bytes } = await identify(path, key);
      sourceBytes += bytes;
      if (!fileByIdentity.has(identity)) fileByIdentity.set(identity, { path, source: index });
    }
    if (sourceBytes === 0) throw wrongInput(`${key}: ${source.path} holds no text: every file in it is empty.`);
  }
  return [...fileByIdentity.values()];
}

async function filesOfSource(path: string, key: string): Promise<string[]> {
  // A name that exists is taken literally, so that a file called "notes[1].txt" needs no escaping.
  const kind = await kindOf(path, key);
  if (kind === 'file') return [path];
  if (kind === 'other') throw wrongInput(`${key}: ${path} is neither a file nor a folder. Name text files.`);
  if (kind === 'missing' && !isDynamicPattern(path)) {
    throw wrongInput(`${key}: there is no file or folder ${path}. Correct the path or put the text there.`);
  }
  const options = { absolute: true, onlyFiles: true, expandDirectories: false };
  const paths = kind === 'folder' ? await glob('**/*', { ...options, cwd: path }) : await glob(path, options);
  if (paths.length === 0) {
    throw wrongInput(
      kind === 'folder' ? `${key}: the folder ${path} holds no files.` : `${key}: no file matches the glob ${path}.`,
    );
  }
  return paths.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

async function kindOf(path: string, key: string): Promise<'file' | 'folder' | 'other' | 'missing'> {
  try {
    const status = await stat(path);
    return status.isFile() ? 'file' : status.isDirectory() ? 'folder' : 'other';
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENAMETOOLONG') return 'missing';
    throw unreadable(path, error, key);
  }
}

async function identify(path: string, key: string): Promise<{ identity: string; bytes: number }> {
  try {
    return { identity: await realpath(path), bytes: (await stat(path)).size };
  } catch (error) {
    throw unreadable(path, error, key);
  }
}

let kept: Promise<string> | undefined;

/**
 * The path of a temporary copy of standard input, because epochs and validation read it again. It is removed when the
 * process ends.
 */
function standardInputFile(): Promise<string> {
  kept ??= keepStandardInput();
  return kept;
}

async function keepStandardInput(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'clm-stdin-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'standard-input');
  try {
    await pipeline(process.stdin, createWriteStream(path));
  } catch (error) {
    throw environmentFailure(`Standard input cannot be kept in ${path}: ${(error as Error).message}.`, {
      cause: error,
    });
  }
  return path;
}

/** Opens a file of the corpus for reading. @throws wrongInput where the system refuses. */
export async function openFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r');
  } catch (error) {
    throw unreadable(path, error);
  }
}

/** The error for a file of the corpus that the system refuses to open or read. `key` names the source, if known. */
export function unreadable(path: string, cause: unknown, key?: string): Error {
  const code = (cause as NodeJS.ErrnoException).code ?? String(cause);
  const reasons: Record<string, string> = {
    EACCES: 'permission denied',
    EPERM: 'permission denied',
    ENOENT: 'it is no longer there',
    ELOOP: 'its links run in a circle',
  };
  return wrongInput(`${key === undefined ? '' : `${key}: `}cannot read ${path}: ${reasons[code] ?? code}.`, { cause });
}
