/**
 * `start: { from: RUN }` in a config: model and tokenizer are those of RUN, so these sections come from its
 * `config.yaml`, and keys written in the config must agree with them. How to sample from the model is taken from there
 * too, unless the config says it.
 */
import { isDeepStrictEqual } from 'node:util';
import { join } from 'node:path';
import { mergeLocated, originOf, parseLocated, plainValue, renderKeyPath, valueAt, withValue } from './located.ts';
import type { LocatedValue } from './located.ts';
import { absolutePath } from './paths/absolutePaths.ts';
import { withPreset } from './presets.ts';
import { problemsError, type Problem } from './problems.ts';
import type { Config } from './schema.ts';

/**
 * The tree with the sections `model` and `tokenizer` of the starting run, and its settings of sampling, merged under
 * its own.
 *
 * @param readConfig reads a run's config.yaml
 * @throws ConfigError naming each key on which the weights depend that differs from the run's
 */
export function withStartingRun(
  tree: LocatedValue,
  readConfig: (path: string, namedAt: LocatedValue) => Config,
): LocatedValue {
  const from = valueAt(tree, ['start', 'from']);
  if (from?.kind !== 'scalar' || typeof from.value !== 'string' || from.value === '') return tree;
  const run = absolutePath({ ...from, value: from.value }, ['start', 'from']);
  const config = readConfig(join(run, 'config.yaml'), from);
  // Dropout and rotary positions have no weights, so these may change.
  const free = new Set(['dropout', ...(config.model.family === 'llama' ? ['contextLength'] : [])]);
  const problems: Problem[] = [];
  let result = withPreset(tree);
  for (const section of ['model', 'tokenizer'] as const) {
    const theirs = config[section] as Readonly<Record<string, unknown>>;
    let inherited = parseLocated(JSON.stringify(theirs), () => from.origin)!;
    const written = valueAt(result, [section]);
    for (const [key, { value }] of written?.kind === 'mapping' ? written.entries : []) {
      const own = structuredClone(plainValue(value)); // with prototypes, which isDeepStrictEqual compares
      if (own === null) continue;
      if (section === 'model' && free.has(key)) inherited = withValue(inherited, [key], value);
      else if (!Object.hasOwn(theirs, key)) {
        inherited = mergeLocated(inherited, withValue(undefined, [key], value)); // the schema will report it as unknown
      } else if (!isDeepStrictEqual(own, theirs[key])) {
        const path = renderKeyPath([section, key]);
        const values = `${JSON.stringify(own)}, but the run in start.from has ${JSON.stringify(theirs[key])}`;
        problems.push({ origin: originOf(result, [section, key]), message: `${path} is ${values}; remove it` });
      }
    }
    result = replaced(result, section, inherited);
  }
  if (problems.length > 0) throw problemsError(problems);
  const samples = valueAt(result, ['samples']);
  if (samples !== undefined && samples.kind !== 'mapping') return result; // the schema will report it
  return samplingKeys.reduce((inner, key) => {
    if (valueAt(inner, ['samples', key]) !== undefined) return inner;
    return withValue(inner, ['samples', key], { kind: 'scalar', origin: from.origin, value: config.samples[key] });
  }, result);
}

const samplingKeys = ['temperature', 'topK', 'topP', 'minP', 'repetitionPenalty'] as const;

function replaced(tree: LocatedValue, section: string, value: LocatedValue): LocatedValue {
  if (tree.kind !== 'mapping') return tree;
  const keyOrigin = tree.entries.get(section)?.keyOrigin ?? value.origin;
  return { ...tree, entries: new Map(tree.entries).set(section, { keyOrigin, value }) };
}
