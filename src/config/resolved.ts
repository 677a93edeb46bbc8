/** The complete config as text, for `config.yaml` of a run and its checkpoints, and what a resumed run may change. */
import { isDeepStrictEqual } from 'node:util';
import { stringify } from 'yaml';
import { withoutReferences } from './interpolation.ts';
import { leafKeys } from './keys.ts';
import { renderKeyPath } from './located.ts';
import type { KeyPath } from './located.ts';
import type { Config } from './schema.ts';

/** YAML with every key, in the order of the schema; `parseResolvedConfig` gives back an equal config. */
export function renderConfig(config: Config): string {
  // Without folding and block text, what is read back is what was written, white space at the ends included.
  return stringify(withoutReferences(config), { lineWidth: 0, blockQuote: false, aliasDuplicateObjects: false });
}

const resumable: readonly string[] = ['schedule', 'evaluation', 'checkpoints', 'samples', 'reports'];
const lengths: readonly string[] = ['steps', 'tokens', 'epochs'];
/** How the tokens are made, not which. */
const encoding: readonly string[] = ['workers', 'cache'];

/**
 * The keys, such as `model.layers`, that differ between the config of a run and the one it shall go on with, although a
 * resumed run may change only its length, `schedule`, `evaluation`, `checkpoints`, `samples`, `reports`,
 * `corpus.workers` and `corpus.cache`.
 */
export function resumeDifferences(runConfig: Config, newConfig: Config): string[] {
  const differs = (path: KeyPath) => !isDeepStrictEqual(configValue(runConfig, path), configValue(newConfig, path));
  return leafKeys()
    .filter((path) => !mayChange(path) && differs(path))
    .map(renderKeyPath);
}

function mayChange([section, key]: KeyPath): boolean {
  if (section === 'training') return lengths.includes(String(key));
  return section === 'corpus' ? encoding.includes(String(key)) : resumable.includes(String(section));
}

/** The value at `path` of a complete config. */
export function configValue(config: Config, path: KeyPath): unknown {
  return path.reduce<unknown>((value, key) => (value as Record<string | number, unknown>)[key], config);
}
