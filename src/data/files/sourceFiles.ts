/**
 * Stage: files. The sources of a config (files, folders, globs, standard input) become one ordered list of files.
 */
import fs, { createWriteStream } from 'node:fs';
import { open, readlink, realpath, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { glob, isDynamicPattern } from 'tinyglobby';

import { environmentFailure, wrongInput } from '../../errors.ts';
import { temporaryFolder } from '../../storage/temporaryPaths.ts';

/** The absolute path of a file, and the index in corpus.sources of the first source that names it. */
interface SourceFile {
  readonly path: string;
  readonly source: number;
}

interface SourceFiles {
  readonly files: readonly SourceFile[];
  /** In folders: files whose names, or whose folders' names, start with a dot. They are left out. */
  readonly hidden: readonly string[];
  /** Further names of files that are listed already. */
  readonly repeated: readonly string[];
}

/**
 * Sources are in the order of the config, the files of one source sorted by the bytes of their paths. A folder means
 * all files in it, at any depth, whose names do not start with a dot. A file named twice, even through a link, counts
 * once, the first time. `-` is standard input.
 * @throws wrongInput naming a source that is missing, unreadable, empty, or not a file, folder or glob
 */
export async function sourceFiles(
  sources: readonly { path: string }[],
  section = 'corpus.sources',
): Promise<SourceFiles> {
  const hidden: string[] = [];
  const repeated: string[] = [];
  const fileByIdentity = new Map<string, SourceFile>();
  for (const [index, source] of sources.entries()) {
    const key = section === 'corpus.sources' ? `${section}[${index}].path` : section;
    const paths =
      source.path === '-' ? [await standardInputFile()] : await filesOfSource(resolve(source.path), key, hidden);
    let sourceBytes = 0;
    for (const path of paths) {
      const { identity, bytes } = await identify(path, key);
      sourceBytes += bytes;
      if (fileByIdentity.has(identity)) repeated.push(path);
      else fileByIdentity.set(identity, { path, source: index });
    }
    if (sourceBytes === 0) throw wrongInput(`${key}: ${source.path} contains no text: all its files are empty.`);
  }
  return { files: [...fileByIdentity.values()], hidden, repeated };
}

async function filesOfSource(path: string, key: string, hidden: string[]): Promise<string[]> {
  // A path that exists is not a glob, so a file called "notes[1].txt" needs no escaping.
  const kind = await kindOf(path, key);
  if (kind === 'file') return [path];
  if (kind === 'other')
    throw wrongInput(`${key}: ${path} is neither a file nor a folder. Name text files or a folder of them.`);
  if (kind === 'missing' && !isDynamicPattern(path)) {
    throw wrongInput(`${key}: no such file or folder: ${path}. Correct the path or put the text there.`);
  }
  const { paths, hidden: left } = kind === 'folder' ? await listed('**/*', key, path) : await listed(path, key);
  hidden.push(...left);
  if (paths.length === 0) {
    throw wrongInput(
      kind === 'folder' ? `${key}: the folder ${path} contains no files.` : `${key}: no file matches the glob ${path}.`,
    );
  }
  return paths.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

/**
 * The files that a glob matches, below `folder` if one is given. What the walk cannot list is refused, so that nothing
 * is left out unsaid.
 */
async function listed(pattern: string, key: string, folder?: string): Promise<{ paths: string[]; hidden: string[] }> {
  const failures: { path: string; error: unknown }[] = [];
  const others: string[] = [];
  const hidden: string[] = [];
  /** In the place of node:fs's: the walk passes over what cannot be read, and over links that lead nowhere. */
  const readdir = (path: string, options: { withFileTypes: true }, done: (...result: unknown[]) => void): void =>
    fs.readdir(path, options, (error, entries = []) => {
      if (error) failures.push({ path, error });
      for (const entry of entries) {
        const entryPath = join(path, entry.name);
        if (entry.name.startsWith('.')) hidden.push(entryPath);
        else if (entry.isSymbolicLink()) {
          if (!leadsSomewhere(entryPath)) Object.assign(entry, { isFile: () => true, isSymbolicLink: () => false });
        } else if (!entry.isFile() && !entry.isDirectory()) others.push(entryPath);
      }
      done(error, entries);
    });
  const options = { absolute: true, onlyFiles: true, expandDirectories: false, ...(folder && { cwd: folder }) };
  const paths = await glob(pattern, { ...options, fs: { ...fs, readdir } as unknown as typeof fs });
  if (failures.length > 0) throw unreadable(failures[0]!.path, failures[0]!.error, key);
  if (folder === undefined) return { paths, hidden: [] };
  if (others.length > 0)
    throw wrongInput(`${key}: ${others[0]} is neither a file nor a folder. Move it away, or name files by a glob.`);
  return { paths, hidden };
}

function leadsSomewhere(link: string): boolean {
  try {
    return fs.statSync(link) !== undefined;
  } catch {
    return false;
  }
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
    const target = await readlink(path).catch(() => undefined);
    const isGone = (error as NodeJS.ErrnoException).code === 'ENOENT';
    if (isGone && target !== undefined)
      throw wrongInput(
        `${key}: ${path} is a link to ${target}, which does not exist. Restore that, or remove the link.`,
      );
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
  const path = join(temporaryFolder('clm-stdin-').path, 'standard-input');
  try {
    await pipeline(process.stdin, createWriteStream(path));
  } catch (error) {
    throw environmentFailure(`Cannot copy standard input to ${path}: ${(error as Error).message}.`, {
      cause: error,
    });
  }
  return path;
}

/** Opens a file of the corpus for reading. @throws wrongInput if it cannot be opened */
export async function openFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r');
  } catch (error) {
    throw unreadable(path, error);
  }
}

/** The error for a file of the corpus that cannot be opened or read. `key` names the source, if known. */
export function unreadable(path: string, cause: unknown, key?: string): Error {
  const code = (cause as NodeJS.ErrnoException).code ?? String(cause);
  const reasons: Record<string, string> = {
    EACCES: 'permission denied',
    EPERM: 'permission denied',
    ENOENT: 'it no longer exists',
    ELOOP: 'its links form a loop',
    EISDIR: 'it is a folder',
  };
  if (code === 'ENOENT' && path.includes('\uFFFD'))
    return wrongInput(
      `${key === undefined ? '' : `${key}: `}the name of ${path} is not UTF-8 (see the U+FFFD in it). Rename it.`,
      { cause },
    );
  return wrongInput(`${key === undefined ? '' : `${key}: `}cannot read ${path}: ${reasons[code] ?? code}.`, { cause });
}
