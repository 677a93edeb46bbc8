/**
 * The paths of a config as the config.yaml of a run or a checkpoint has them: relative to itself, so that a folder can
 * be moved or copied with all its runs; and beside that what they were then, so that a run can be moved alone.
 */
import { relative } from 'node:path';
import type { Config } from '../schema.ts';
import { isPath } from './absolutePaths.ts';

/** The key of config.yaml that maps its relative paths to the absolute ones they were. */
export const formerPathsKey = 'formerPaths';

/** The config with its paths relative to `directory`, where it will be written, and what each of them is now. */
export function withRelativePaths(
  config: Config,
  directory: string,
): { config: Config; formerPaths: Map<string, string> } {
  const formerPaths = new Map<string, string>();
  const relativeConfig = withPaths(config, (path) => {
    const written = relative(directory, path) || '.';
    formerPaths.set(written, path);
    return written;
  });
  return { config: relativeConfig, formerPaths };
}

/** The config without its paths, to compare it with one in which they may be others. */
export const withoutPaths = (config: Config): Config => withPaths(config, () => 'a path');

function withPaths(config: Config, change: (path: string) => string): Config {
  const { start, corpus, tokenizer } = config;
  const changed = <Path extends string | null>(path: Path): Path | string => (isPath(path) ? change(path) : path);
  return {
    ...config,
    start: { ...start, from: changed(start.from) },
    corpus: {
      ...corpus,
      sources: corpus.sources.map((source) => ({ ...source, path: changed(source.path) })),
      validation: { ...corpus.validation, path: changed(corpus.validation.path) },
      cache: changed(corpus.cache),
    },
    tokenizer: { ...tokenizer, path: changed(tokenizer.path), chatTemplate: changed(tokenizer.chatTemplate) },
  };
}
