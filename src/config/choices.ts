/**
 * Keys that exclude each other, and keys that only some kinds have: what a `--set` of one takes out of the files, so
 * that `--set corpus.validation.hash=0.01` replaces `tail: 0.1` and need not be followed by
 * `--set corpus.validation.tail=null`.
 */
import { location, parseKeyPath, renderKeyPath, valueAt, withValue } from './located.ts';
import type { KeyPath, LocatedScalar, LocatedValue } from './located.ts';
import { parseOverride } from './overrides.ts';

/** Of the keys of a group, a config sets one. */
export const alternatives = {
  lengths: ['training.steps', 'training.tokens', 'training.epochs'],
  splits: ['corpus.validation.tail', 'corpus.validation.hash', 'corpus.validation.path'],
  finalWeights: ['corpus.sources[].finalWeight', 'corpus.sources[].weightsAtSteps'],
} as const;

interface DependentKey {
  key: string;
  /** The key that chooses the kind, and the kinds that have `key`. */
  of: string;
  kinds: readonly unknown[];
  /** The value that counts as not set. */
  unset: LocatedScalar['value'];
}

const dependent = (of: string, kinds: readonly unknown[], key: string, unset: DependentKey['unset'] = null) =>
  ({ key, of, kinds, unset }) satisfies DependentKey;

/** Keys that have an effect with some kinds only. */
export const dependentKeys: readonly DependentKey[] = [
  dependent('tokenizer.kind', ['bpe'], 'tokenizer.vocabularySize'),
  dependent('tokenizer.kind', ['file'], 'tokenizer.path'),
  dependent('tokenizer.kind', ['file'], 'tokenizer.endOfText'),
  dependent('optimizer.kind', ['muon'], 'optimizer.momentum'),
  dependent('training.objective.kind', ['dpo'], 'training.objective.beta'),
  dependent('training.objective.kind', ['dpo'], 'training.objective.labelSmoothing'),
  dependent('schedule.kind', ['cosine', 'linear', 'warmup-stable-decay'], 'schedule.finalLearningRate'),
  dependent('schedule.kind', ['warmup-stable-decay'], 'schedule.decaySteps'),
  dependent('adapter.kind', ['lora'], 'adapter.rank', 8),
  dependent('adapter.kind', ['lora'], 'adapter.alpha', 16),
  dependent('adapter.kind', ['lora'], 'adapter.dropout', 0),
  dependent('adapter.kind', ['lora'], 'adapter.targets'),
  dependent('adapter.kind', ['lora'], 'start.weights', 'float32'),
  dependent('model.family', ['llama'], 'model.ropeTheta', 10_000),
  dependent('model.family', ['llama'], 'model.ropeScaling'),
  dependent('model.family', ['llama'], 'model.nopeEveryLayers'),
];

/**
 * The tree of the files without what the flags replace.
 * @param set assignments such as `training.epochs=2`
 * @param report called with a sentence for each value that is replaced
 */
export function withoutReplaced(
  files: LocatedValue,
  set: readonly string[],
  report: (message: string) => void,
): LocatedValue {
  let tree = files;
  for (const assignment of set) {
    const { path, value } = parseOverride(assignment);
    for (const [leaf, scalar] of leavesOf(path, value)) {
      for (const { key, unset } of excludedBy(leaf, scalar)) {
        const found = valueAt(tree, key);
        if (found === undefined || (found.kind === 'scalar' && found.value === unset)) continue;
        const shown = found.kind === 'scalar' ? `: ${JSON.stringify(found.value)}` : '';
        report(`--set ${assignment} replaces ${renderKeyPath(key)}${shown} (${location(found.origin)})`);
        tree = withValue(tree, key, { kind: 'scalar', origin: found.origin, value: unset });
      }
    }
  }
  return tree;
}

type Leaf = [path: KeyPath, value: LocatedValue];

/** The keys that an assignment sets, those inside a mapping each on its own. */
const leavesOf = (path: KeyPath, value: LocatedValue): Leaf[] =>
  value.kind === 'mapping'
    ? [...value.entries].flatMap(([key, entry]) => leavesOf([...path, key], entry.value))
    : [[path, value]];

function excludedBy(path: KeyPath, value: LocatedValue): { key: KeyPath; unset: LocatedScalar['value'] }[] {
  const name = patternOf(path);
  const isNull = value.kind === 'scalar' && value.value === null;
  const others = Object.values(alternatives)
    .filter((group: readonly string[]) => !isNull && group.includes(name))
    .flatMap((group) => group.filter((key) => key !== name))
    // An entry of a list has its alternatives in the same entry.
    .map((key) => ({ key: [...path.slice(0, -1), key.slice(key.lastIndexOf('.') + 1)], unset: null }));
  const kind = value.kind === 'scalar' ? value.value : undefined;
  const ofOtherKinds = dependentKeys
    .filter(({ of, kinds }) => of === name && !kinds.includes(kind))
    .map(({ key, unset }) => ({ key: parseKeyPath(key)!, unset }));
  const isWithoutEvaluations = name === 'evaluation.everySteps' && isNull;
  return [
    ...others,
    ...ofOtherKinds,
    ...(isWithoutEvaluations ? [{ key: ['evaluation', 'patience'], unset: null }] : []),
  ];
}

/** `corpus.sources[].finalWeight` for any entry of the list. */
const patternOf = (path: KeyPath): string => renderKeyPath(path).replace(/\[\d+\]/g, '[]');
