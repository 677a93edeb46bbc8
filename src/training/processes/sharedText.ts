/** The text of a run that several processes train: it is tokenized once, for all that read it on a machine. */
import path from 'node:path';
import type { Config } from '../../config/schema.ts';
import { cacheFolder } from '../../storage/cacheFolder.ts';

export interface SharedText {
  /** The tokenizer of a fresh run, if another process has prepared it already. */
  tokenizerText?: string | undefined;
}

/** The config with a token cache, for one of several processes, and what to say of it. */
export function withTokenCache(config: Config, shared: SharedText | undefined): { cached: Config; notes: string[] } {
  if (shared === undefined || config.corpus.cache !== null) return { cached: config, notes: [] };
  const cache = path.join(cacheFolder(), 'tokens');
  const note = `tokens of the corpus are kept in ${cache}, where all processes read them (see corpus.cache)`;
  return { cached: { ...config, corpus: { ...config.corpus, cache } }, notes: [note] };
}
