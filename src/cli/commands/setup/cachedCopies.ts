/** What the cache folder holds, for `clm doctor`, which also clears it. */
import path from 'node:path';
import { cachedCopies, cacheFolder, clearCopies, type CachedCopy } from '../../../runtime/installation/cacheFolder.ts';

export interface CacheFacts {
  folder: string;
  /** Those that are left. */
  copies: (CachedCopy & { isUsed: boolean })[];
  removed: CachedCopy[];
}

/** @param libraryDirectory of the installation that works; undefined if none does: all copies are old then */
export function cacheFacts(libraryDirectory: string | undefined, isCleared: boolean): CacheFacts {
  const holds = (copy: CachedCopy): boolean => `${libraryDirectory}${path.sep}`.startsWith(`${copy.path}${path.sep}`);
  const used = cachedCopies().find(holds)?.path;
  const removed = isCleared ? clearCopies(used) : [];
  return {
    folder: cacheFolder(),
    copies: cachedCopies().map((copy) => ({ ...copy, isUsed: copy.path === used })),
    removed,
  };
}

/** The facts as lines for people. */
export function cacheLines({ folder, copies, removed }: CacheFacts): string[] {
  const old = copies.filter(({ kind, isUsed }) => kind !== 'clone' && !isUsed);
  return [
    `${folder}, ${copies.length === 0 ? 'empty' : megabytes(copies)}`,
    ...removed.map((copy) => `removed ${path.basename(copy.path)} (${megabytes([copy])})`),
    ...copies.map((copy) => `${path.basename(copy.path)} (${megabytes([copy])}): ${useOf(copy)}`),
    ...(old.length === 0 ? [] : [`"clm doctor --clear-cache" removes what is not in use (${megabytes(old)})`]),
  ];
}

function useOf({ kind, isUsed, lastUsed }: CacheFacts['copies'][number]): string {
  if (isUsed) return 'in use';
  if (kind === 'clone') return 'made by "npm run setup" of a clone; delete it if there is none any more';
  const day = lastUsed.toISOString().slice(0, 10);
  return kind === 'remains' ? `left by an unpacking that was killed on ${day}` : `not in use here, last used ${day}`;
}

const megabytes = (copies: readonly CachedCopy[]): string =>
  `${Math.ceil(copies.reduce((sum, { bytes }) => sum + bytes, 0) / 1e6)} MB`;
