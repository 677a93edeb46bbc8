/**
 * The files and token counts of a run's corpus, stored in the run directory as corpus.json. A resumed run detects any
 * change of the corpus, and does not have to count its tokens again.
 */
import { createHash } from 'node:crypto';
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

/** Path, size and hash of every file of the corpus. Reads at most 1 MiB of each. */
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

export const renderManifest = (manifest: CorpusManifest): string => `${JSON.stringify(manifest, null, 1)}\n`;

/** @param path of the file, for messages. @throws wrongInput if it is damaged */
export function parseManifest(text: string, path: string): CorpusManifest {
  try {
    return manifestSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw wrongInput(`${path} is damaged. Delete it to resume without checking whether the corpus has changed.`, {
      cause,
    });
  }
}

/** @throws wrongInput naming the files that have changed since the manifest was made */
export function refuseChangedCorpus(before: CorpusManifest, now: CorpusManifest): void {
  const changes: string[] = [];
  const byPath = new Map(before.files.map((file) => [file.path, file]));
  for (const { path, bytes, sha256 } of now.files) {
    const old = byPath.get(path);
    byPath.delete(path);
    if (old === undefined) changes.push(`${path} is new`);
    else if (old.bytes !== bytes) changes.push(`${path} has ${bytes} bytes instead of ${old.bytes}`);
    else if (old.sha256 !== sha256) changes.push(`${path} has different content`);
  }
  for (const path of byPath.keys()) changes.push(`${path} is missing`);
  const paths = (files: CorpusManifest['files']) => files.map(({ path }) => path).join('\n');
  if (changes.length === 0 && paths(before.files) !== paths(now.files))
    changes.push('its files are in a different order');
  if (changes.length === 0) return;
  const more = changes.length > 5 ? ` and ${changes.length - 5} more` : '';
  throw wrongInput(
    `The corpus has changed since this run began: ${changes.slice(0, 5).join(', ')}${more}. Restore it to resume the ` +
      'run, or start a new run with --run.',
  );
}

/** Standard input has a different temporary path every time. */
const nameOf = ({ path, source }: CorpusFile): string => (source?.path === '-' ? 'standard input' : path);

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
