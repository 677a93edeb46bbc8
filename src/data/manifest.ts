/**
 * The files and token counts of a run's corpus, stored in the run directory as corpus.json. A resumed run detects any
 * change of the corpus, and does not have to count its tokens again.
 */
import { createHash } from 'node:crypto';
import { basename, dirname, relative, resolve } from 'node:path';
import { z } from 'zod';

import { wrongInput } from '../errors.ts';
import type { Corpus, CorpusFile } from './files/corpus.ts';
import { openFile, unreadable } from './files/sourceFiles.ts';

const count = z.int().min(0);

const manifestSchema = z.strictObject({
  version: z.literal(1),
  trainingTokens: count,
  validationTokens: count,
  supply: z
    .strictObject({
      windows: count,
      places: count,
      tokens: count,
      learntTokens: count, // those that count towards the loss
      leftoverTokens: count,
      splitDocuments: count,
      truncatedPairs: count.default(0), // absent in runs made before there were preference pairs
      omittedPairs: count.default(0),
    })
    .optional(),
  /** What was repaired or left out; absent in runs made before it was counted. */
  leftOut: z
    .strictObject({
      badBytes: count,
      emptyDocuments: count,
      rowsWithoutText: count,
      suspiciousRecords: count,
      firstSuspicious: z.string().optional(),
      chatsWithoutLoss: count.optional(),
      cutPrompts: count.optional(),
    })
    .optional(),
  /** How many of the files, the last ones, are only for validation; absent without any. */
  validationFiles: count.optional(),
  files: z.array(z.strictObject({ path: z.string(), bytes: z.int().min(0), sha256: z.string() })),
});

export type CorpusManifest = z.output<typeof manifestSchema>;

/**
 * Files up to this size are hashed whole; of longer ones `samples` evenly spaced pieces, first and last byte included.
 */
export const wholeBytes = 1024 * 1024;
const samples = 16;
const sampleBytes = wholeBytes / samples;

/** Absolute path, size and hash of every file of the corpus. Reads at most 1 MiB of each. */
export async function corpusManifest(
  corpus: Pick<Corpus, 'files' | 'training'>,
  { trainingTokens, validationTokens, supply, leftOut }: Omit<CorpusManifest, 'version' | 'files' | 'validationFiles'>,
): Promise<CorpusManifest> {
  const validationFiles = corpus.files.filter(({ startByte }) => startByte >= corpus.training.endByte).length;
  const files: CorpusManifest['files'] = [];
  for (const file of corpus.files) files.push({ path: nameOf(file), ...(await digest(file.path)) });
  return {
    version: 1,
    trainingTokens,
    validationTokens,
    ...(supply && { supply }),
    ...(leftOut && { leftOut }),
    ...(validationFiles > 0 && { validationFiles }),
    files,
  };
}

/** @param path of the file that the text is for: the files of the corpus are named relative to it */
export function renderManifest(manifest: CorpusManifest, path: string): string {
  const files = manifest.files.map((file) => ({
    ...file,
    path: throughName(file.path, relative(dirname(path), file.path)),
  }));
  return `${JSON.stringify({ ...manifest, files }, null, 1)}\n`;
}

/** @param path of the file that the text was read from. @throws wrongInput if it is damaged */
export function parseManifest(text: string, path: string): CorpusManifest {
  try {
    const manifest = manifestSchema.parse(JSON.parse(text));
    const files = manifest.files.map((file) => ({
      ...file,
      path: throughName(file.path, resolve(dirname(path), file.path)),
    }));
    return { ...manifest, files };
  } catch (cause) {
    throw wrongInput(`${path} is damaged. Delete it to resume without checking whether the corpus has changed.`, {
      cause,
    });
  }
}

type ManifestFile = CorpusManifest['files'][number];

const hasContentOf = (a: ManifestFile, b: ManifestFile): boolean => a.bytes === b.bytes && a.sha256 === b.sha256;

/** What identifies a corpus is the content of its files in their order, not where they are or what they are called. */
export const isSameCorpus = (before: CorpusManifest, now: CorpusManifest): boolean =>
  before.files.length === now.files.length &&
  before.files.every((file, i) => hasContentOf(file, now.files[i]!)) &&
  (before.validationFiles ?? now.validationFiles) === (now.validationFiles ?? before.validationFiles);

/** Names the files whose content has changed since the manifest was made; undefined if none has. */
export function changesOf(before: CorpusManifest, now: CorpusManifest): string | undefined {
  if (isSameCorpus(before, now)) return undefined;
  // Each file now, and which of the files before it probably was.
  const left = [...before.files];
  const was = new Map<ManifestFile, ManifestFile>();
  const pair = (isPair: (old: ManifestFile, file: ManifestFile) => boolean): void => {
    for (const file of now.files) {
      const at = was.has(file) ? -1 : left.findIndex((old) => isPair(old, file));
      if (at >= 0) was.set(file, left.splice(at, 1)[0]!);
    }
  };
  pair((old, file) => old.path === file.path);
  pair(hasContentOf);
  pair((old, file) => basename(old.path) === basename(file.path));
  const changes = now.files.flatMap((file) => {
    const old = was.get(file);
    if (old === undefined) return `${file.path} is new`;
    if (hasContentOf(old, file)) return [];
    return old.bytes === file.bytes
      ? `${file.path} has different content`
      : `${file.path} has ${file.bytes} bytes instead of ${old.bytes}`;
  });
  changes.push(...left.map(({ path }) => `${path} is missing`));
  if (changes.length === 0) changes.push('its files are in a different order, or for another purpose');
  const more = changes.length > 5 ? ` and ${changes.length - 5} more` : '';
  return `${changes.slice(0, 5).join(', ')}${more}`;
}

/** @throws wrongInput naming the files whose content has changed since the manifest was made */
export function refuseChangedCorpus(before: CorpusManifest, now: CorpusManifest): void {
  const changes = changesOf(before, now);
  if (changes === undefined) return;
  throw wrongInput(
    `The corpus has changed since this run began: ${changes}. Restore it to resume the run, or start a new run with ` +
      '--run.',
  );
}

/** Standard input has a different temporary path every time. */
const standardInput = 'standard input';
const nameOf = ({ path, source }: CorpusFile): string => (source?.path === '-' ? standardInput : path);
const throughName = (path: string, changed: string): string => (path === standardInput ? path : changed);

async function digest(path: string): Promise<{ bytes: number; sha256: string }> {
  const handle = await openFile(path);
  try {
    const { size: bytes } = await handle.stat();
    const hash = createHash('sha256');
    const buffer = Buffer.alloc(Math.min(bytes, bytes <= wholeBytes ? wholeBytes : sampleBytes));
    const pieces = bytes <= wholeBytes ? 1 : samples;
    for (let piece = 0; piece < pieces; piece++) {
      const at = pieces === 1 ? 0 : Math.floor(((bytes - sampleBytes) * piece) / (pieces - 1));
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, at);
      hash.update(buffer.subarray(0, bytesRead));
    }
    return { bytes, sha256: hash.digest('hex') };
  } catch (error) {
    throw unreadable(path, error);
  } finally {
    await handle.close();
  }
}
