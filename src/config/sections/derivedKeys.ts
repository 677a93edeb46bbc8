/**
 * Keys of `model` that follow from others unless they are written. The config.yaml of a run has the values of all: read
 * again, those that are as they follow from the others are not taken as written, so that a change of a copy, such as
 * `--set model.width=64`, gives the model that it would give with the config that the run was trained from.
 */
import { location, plainValue, valueAt, withValue } from '../located.ts';
import type { LocatedMapping, LocatedValue } from '../located.ts';
import { model as modelSection } from './model.ts';

/** By key, those that it follows from. */
const sourcesOf = {
  headSize: ['width', 'heads'],
  keyValueHeads: ['heads'],
  activation: ['family'],
  feedForwardWidth: ['width', 'family', 'activation'],
  queryKeyValueBiases: ['biases'],
  feedForwardBiases: ['biases'],
} as const;

const derived = Object.keys(sourcesOf) as (keyof typeof sourcesOf)[];

/** The keys that have the value that follows from the others, each as null; none if the section is not valid. */
export function derivedKeys(section: object): Partial<Record<keyof typeof sourcesOf, null>> {
  const unset = Object.fromEntries(derived.map((key) => [key, null]));
  const { success, data } = modelSection.safeParse({ ...section, ...unset });
  if (!success) return {};
  return Object.fromEntries(
    derived.filter((key) => (section as Record<string, unknown>)[key] === data[key]).map((key) => [key, null]),
  );
}

/** The config of a run without the keys of its model that follow from others. */
export function withoutDerived(config: LocatedMapping): LocatedMapping {
  const section = valueAt(config, ['model']);
  if (section?.kind !== 'mapping') return config;
  return Object.keys(derivedKeys(plainValue(section) as object)).reduce<LocatedMapping>((tree, key) => {
    const { origin } = valueAt(tree, ['model', key])!;
    return withValue(tree, ['model', key], { kind: 'scalar', origin, value: null }) as LocatedMapping;
  }, config);
}

/**
 * What a `--set` of a key does to those that follow from it: a sentence for each that does not, because it is written,
 * and for each that does although the config of a run has its value.
 * @param config with the flags and the preset
 */
export function derivedNotes(config: LocatedValue): string[] {
  const section = valueAt(config, ['model']);
  if (section?.kind !== 'mapping') return [];
  const followed = derivedKeys(plainValue(section) as object);
  return derived.flatMap((key) => {
    const own = valueAt(section, [key]);
    const set = sourcesOf[key]
      .map((source) => valueAt(section, [source]))
      .find((value) => value?.origin.source.startsWith('--set '));
    if (own?.kind !== 'scalar' || set === undefined || own.origin.source.startsWith('--set ') || key in followed)
      return [];
    const name = `model.${key}`;
    const at = location(own.origin);
    if (own.value !== null)
      return [`${name} stays ${own.value} (${at}) with ${set.origin.source}; for it to follow: --set ${name}=null`];
    return own.origin.formerPaths === undefined
      ? []
      : [`${name} (${at}) follows from ${set.origin.source}; to keep its value: --set ${name}=…`];
  });
}
