/** The complete config as text, for `config.yaml` of runs and checkpoints; and which keys a resumed run may change. */
import { isDeepStrictEqual } from 'node:util';
import { stringify } from 'yaml';
import { withoutReferences } from './interpolation.ts';
import { leafKeys } from './keys.ts';
import { renderKeyPath } from './located.ts';
import type { KeyPath } from './located.ts';
import type { Config } from './schema.ts';

/** YAML with every key, in the order of the schema; `parseResolvedConfig` returns an equal config. */
export function renderConfig(config: Config): string {
  // Without folding and block text, texts are read back exactly, including white space at their ends.
  return stringify(withoutReferences(config), { lineWidth: 0, blockQuote: false, aliasDuplicateObjects: false });
}

const resumable: readonly string[] = ['schedule', 'evaluation', 'checkpoints', 'samples', 'reports'];
const lengths: readonly string[] = ['steps', 'tokens', 'epochs'];
/** These change how tokens are computed, not which. */
const encoding: readonly string[] = ['workers', 'cache'];

/**
 * The keys, such as `model.layers`, that differ between the config of a run and the one to resume it with and must not.
 * A resumed run may change only its length, `schedule`, `evaluation`, `checkpoints`, `samples`, `reports`,
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
