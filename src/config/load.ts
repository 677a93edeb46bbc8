/**
 * Loads a YAML file and `--set` flags into the frozen, complete `Config`. Layers, each overriding the one before: the
 * defaults of the schema, the files named by `extends`, the file itself, the flags. Stage: config (src/README.md).
 */
import { existsSync } from 'node:fs';
import { basename, dirname, extname } from 'node:path';
import { ConfigError } from '../errors.ts';
import { importFirst } from '../storage/importable.ts';
import { withoutReplaced } from './choices.ts';
import { crossProblems } from './crossChecks.ts';
import { interpolated } from './interpolation.ts';
import { parseMapping, readConfigText, readLayers, type ConfigSource } from './layers.ts';
import { location, originsIn, plainValue, valueAt, withValue } from './located.ts';
import type { LocatedValue } from './located.ts';
import { applyOverride } from './overrides.ts';
import { formerNote, withAbsolutePaths, type PathChoice } from './paths/absolutePaths.ts';
import { withPreset } from './presets.ts';
import { problemsError, schemaProblems } from './problems.ts';
import { nameOfFile, refuseOtherName } from './runNames.ts';
import { configSchema } from './schema.ts';
import type { Config } from './schema.ts';
import { defaultTargets } from './sections/adapter.ts';
import { defaultTail } from './sections/corpus.ts';
import { derivedNotes } from './sections/derivedKeys.ts';
import { withStartingRun } from './startingRun.ts';
import { defaultSteps } from './sections/training.ts';

interface LoadOptions extends PathChoice {
  set?: readonly string[];
  resumed?: ((name: string) => string) | undefined;
  namesRun?: boolean;
  onReplaced?: ((message: string) => void) | undefined;
}

/**
 * Reads a config and everything it extends, applies the `--set` flags, checks it and fills in the defaults. Relative
 * paths become absolute: relative to the file they are written in, all others to the working directory. Loads nothing
 * native and does not read the corpus.
 *
 * @param source the path of a file; or its text, or its keys as an object
 * @param options.set assignments such as `model.layers=6`; later ones override earlier ones
 * @param options.resumed maps the name of the run to the config.yaml of the run to resume; if that file exists, it is
 *   used in place of the run in `start.from`, which may have been deleted
 * @param options.namesRun whether the run is kept under its name: then the config must give one, unless it is a file
 *   whose own name will do
 * @param options.prefersFormer, options.onFormer about paths in the config.yaml of a run: see `PathChoice`
 * @param options.onReplaced called for each value of a file that a flag replaces because both exclude each other; for
 *   each key of the model that follows from another, which a flag sets, or does not, being written; and, without
 *   `onFormer`, for each path that was taken from where it was formerly
 * @throws ConfigError with one line per problem: file:line:column (or the flag), the key, the value required
 * @throws environmentFailure if permission to read a file is denied
 */
export function loadConfig(
  source: ConfigSource,
  { set = [], resumed, namesRun = false, onReplaced = () => {}, ...choice }: LoadOptions = {},
): Config {
  const layers = set.reduce<LocatedValue>(applyOverride, withoutReplaced(readLayers(source), set, onReplaced));
  const defaultName = typeof source === 'string' ? basename(source, extname(source)) : 'run';
  if (namesRun && valueAt(layers, ['name']) === undefined) {
    if (typeof source !== 'string') throw new ConfigError(`config: name is missing, and no run directory is given`);
    refuseOtherName(defaultName, source, ', or --run DIR');
  }
  const tree = interpolated(withName(layers, defaultName));
  for (const line of derivedNotes(withPreset(tree))) onReplaced(line);
  const resumedConfig = resumed?.(String(plainValue(valueAt(tree, ['name'])!)));
  const isResumed = resumedConfig !== undefined && existsSync(resumedConfig);
  const withStart = withStartingRun(tree, (startConfig, namedAt) =>
    readRunConfig(isResumed ? resumedConfig : startConfig, namedAt),
  );
  return completeConfig(withStart, defaultName, {
    onFormer: (path) => path.isFound && onReplaced(formerNote(path)),
    ...choice,
  });
}

/** Whether a config or its flags set the length of the run; if they do not, it gets a default. */
export function setsLength(source: ConfigSource, set: readonly string[]): boolean {
  const layers = set.reduce<LocatedValue>(
    applyOverride,
    withoutReplaced(readLayers(source), set, () => {}),
  );
  return ['steps', 'tokens', 'epochs'].some((key) => {
    const length = valueAt(layers, ['training', key]);
    return length?.kind === 'scalar' && length.value !== null;
  });
}

/** The config of the run in `start.from`, which is written at `namedAt`. */
function readRunConfig(path: string, namedAt: LocatedValue): Config {
  const other = importFirst(dirname(path));
  if (other !== undefined) throw new ConfigError(`${location(namedAt.origin)}: start.from: ${other}`);
  return parseResolvedConfig(readConfigText(path, `${location(namedAt.origin)}: start.from is not a run: `), path);
}

/**
 * Parses the text of `renderConfig`, from a run directory or a checkpoint.
 *
 * @param path the file the text was read from, for messages
 * @throws ConfigError as `loadConfig` does
 */
export function parseResolvedConfig(text: string, path: string, choice?: PathChoice): Config {
  const tree = interpolated(parseMapping(text, path, originsIn(path)));
  return completeConfig(tree, basename(path, extname(path)), choice);
}

function completeConfig(written: LocatedValue, defaultName: string, choice?: PathChoice): Config {
  const tree = withPreset(written);
  const parsed = configSchema.safeParse(plainValue(withAbsolutePaths(withName(tree, defaultName), choice)));
  if (!parsed.success) throw problemsError(schemaProblems(parsed.error.issues, tree));
  const { training } = parsed.data;
  if (training.steps === null && training.tokens === null && training.epochs === null) training.steps = defaultSteps;
  const { validation } = parsed.data.corpus;
  const { adapter, model } = parsed.data;
  if (adapter.kind !== null) adapter.targets ??= defaultTargets(model);
  if (validation.tail === null && validation.hash === null && validation.path === null) validation.tail = defaultTail;
  const problems = crossProblems(parsed.data, tree);
  if (problems.length > 0) throw problemsError(problems);
  return deepFrozen(parsed.data);
}

function withName(tree: LocatedValue, defaultName: string): LocatedValue {
  if (valueAt(tree, ['name']) !== undefined) return tree;
  return withValue(tree, ['name'], { kind: 'scalar', origin: tree.origin, value: nameOfFile(defaultName) });
}

function deepFrozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(value).forEach(deepFrozen);
  return Object.freeze(value);
}
