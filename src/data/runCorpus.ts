/** The corpus of a run that exists: what identifies it is its content, which the run's corpus.json describes. */
import { existsSync } from 'node:fs';
import { withFormerPlaces, type PlacedConfig } from '../config/paths/absolutePaths.ts';
import type { Config } from '../config/schema.ts';
import { ExpectedError } from '../errors.ts';
import { readBounded } from '../storage/boundedFile.ts';
import type { Corpus } from './files/corpus.ts';
import { openCorpus } from './files/openCorpus.ts';
import { corpusManifest, isSameCorpus, parseManifest, type CorpusManifest } from './manifest.ts';

export interface RunCorpus {
  config: Config;
  opened: Corpus;
  /** The corpus as the run began with it, and as it is now; undefined if the run has no corpus.json. */
  manifests: { before: CorpusManifest; now: CorpusManifest } | undefined;
}

/**
 * Opens the corpus of a run where its config finds it now or, if the content there is not what the run began with but
 * that where it was is, there.
 * @param manifestPath of its corpus.json; null for a run that begins
 * @throws wrongInput if the corpus cannot be read
 */
export async function openRunCorpus(placed: PlacedConfig, manifestPath: string | null): Promise<RunCorpus> {
  const { config: wanted, formerConfig } = placed;
  const before =
    manifestPath !== null && existsSync(manifestPath)
      ? parseManifest(readBounded(manifestPath).toString('utf8'), manifestPath)
      : undefined;
  const open = async (config: Config): Promise<RunCorpus> => {
    const opened = await openCorpus(config.corpus);
    return { config, opened, manifests: before && { before, now: await corpusManifest(opened, before) } };
  };
  const isRight = ({ manifests }: RunCorpus): boolean =>
    manifests === undefined || isSameCorpus(manifests.before, manifests.now);
  const found = await open(wanted).catch((error: unknown) => {
    if (error instanceof ExpectedError) return error;
    throw error;
  });
  if (!(found instanceof ExpectedError) && isRight(found)) return found;
  if (before !== undefined && formerConfig !== undefined) {
    const former = await open(formerConfig).catch(() => undefined); // the refusal of the first one is what matters
    if (former !== undefined && isRight(former)) return former;
  }
  if (found instanceof ExpectedError) throw withFormerPlaces(found, placed);
  return found;
}
