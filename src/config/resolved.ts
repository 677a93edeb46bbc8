/** The complete config as text, for `config.yaml` of runs and checkpoints; and which keys a resumed run may change. */
import { isDeepStrictEqual } from 'node:util';
import { stringify } from 'yaml';
import { withoutReferences } from './interpolation.ts';
import { leafKeys } from './keys.ts';
import { renderKeyPath } from './located.ts';
import type { KeyPath } from './located.ts';
import { formerPathsKey, withRelativePaths, withoutPaths } from './paths/relativePaths.ts';
import type { Config } from './schema.ts';

/**
 * YAML with every key, in the order of the schema; `parseResolvedConfig` returns an equal config.
 *
 * @param directory of the config.yaml that the text is for: its paths are relative to it. Without it they are absolute.
 */
export function renderConfig(config: Config, directory?: string): string {
  // Without folding and block text, texts are read back exactly, including white space at their ends.
  const yaml = (value: unknown): string =>
    stringify(value, { lineWidth: 0, blockQuote: false, aliasDuplicateObjects: false });
  if (directory === undefined) return yaml(withoutReferences(config));
  const { config: relativeConfig, formerPaths } = withRelativePaths(config, directory);
  return (
    yaml(withoutReferences(relativeConfig)) +
    '# Paths are relative to this file. Where there is nothing, what they were at first is tried:\n' +
    yaml({ [formerPathsKey]: formerPaths })
  );
}

const resumable: readonly string[] = ['schedule', 'evaluation', 'checkpoints', 'samples', 'reports'];
const lengths: readonly string[] = ['steps', 'tokens', 'epochs'];
/** These change how tokens are computed, not which. */
const encoding: readonly string[] = ['workers', 'cache'];

/**
 * The keys, such as `model.layers`, that differ between the config of a run and the one to resume it with and must not.
 * A resumed run may change only its length, `schedule`, `evaluation`, `checkpoints`, `samples`, `reports`,
 * `corpus.workers` and `corpus.cache`.
 *
 * @param options.ignorePaths whether paths may differ, since the contents are compared
 */
export function resumeDifferences(runConfig: Config, newConfig: Config, { ignorePaths = false } = {}): string[] {
  const [before, now] = ignorePaths ? [withoutPaths(runConfig), withoutPaths(newConfig)] : [runConfig, newConfig];
  const differs = (path: KeyPath) => !isDeepStrictEqual(configValue(before, path), configValue(now, path));
  return leafKeys()
    .filter((path) => !mayChange(path) && differs(path))
    .map(renderKeyPath);
}

/**
 * The keys that differ between the config of a run and another one, paths, device and length aside: those on which the
 * results of the run depend, and those of `checkpoints`, on which only what is kept of it depends.
 */
export function changedSettings(runConfig: Config, config: Config): { results: string[]; checkpoints: string[] } {
  const later = leafKeys()
    .filter(([section]) => ['schedule', 'evaluation', 'checkpoints'].includes(String(section)))
    .filter((path) => !isDeepStrictEqual(configValue(runConfig, path), configValue(config, path)))
    .map(renderKeyPath);
  const isOfCheckpoints = (key: string): boolean => key.startsWith('checkpoints.');
  const fixed = resumeDifferences(runConfig, config, { ignorePaths: true }).filter((key) => key !== 'device');
  return {
    results: [...fixed, ...later.filter((key) => !isOfCheckpoints(key))],
    checkpoints: later.filter(isOfCheckpoints),
  };
}

function mayChange([section, key]: KeyPath): boolean {
  if (section === 'training') return lengths.includes(String(key));
  return section === 'corpus' ? encoding.includes(String(key)) : resumable.includes(String(section));
}

/** The value at `path` of a complete config. */
export function configValue(config: Config, path: KeyPath): unknown {
  return path.reduce<unknown>((value, key) => (value as Record<string | number, unknown>)[key], config);
}
