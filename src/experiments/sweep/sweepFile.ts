/**
 * Reads a sweep file: a base config and the keys that vary, as grids, zipped lists, random draws and seeds.
 *
 *   config: moby-dick.yaml
 *   grid: { optimizer.learningRate: [1e-3, 2e-3] }                # every combination
 *   zip: [{ model.layers: [2, 4], model.heads: [2, 4] }]          # the n-th values together
 *   random: { draws: 8, seed: 1, ranges: { model.dropout: { from: 0, to: 0.3 } } }
 *   seeds: 3                                                       # or a list of seeds
 *   halving: { factor: 3, from: 200 }                              # stops the settings with the highest losses
 */
import { basename, dirname, extname, resolve } from 'node:path';
import { readBounded } from '../../storage/boundedFile.ts';
import { schemaAt, suggestKey } from '../../config/keys.ts';
import { nameOfFile } from '../../config/runNames.ts';
import {
  location,
  originsIn,
  parseLocated,
  plainValue,
  valueAt,
  type LocatedMapping,
  type LocatedValue,
  type PlainValue,
} from '../../config/located.ts';
import { wrongInput } from '../../errors.ts';
import { parseDuration } from '../../duration.ts';

/** The values of one key, or of keys that vary together. Each run uses one entry of every axis. */
type Axis = readonly Readonly<Record<string, PlainValue>>[];

export interface RandomRange {
  key: string;
  from: number;
  to: number;
  scale: 'linear' | 'log';
  whole: boolean;
}

export interface Sweep {
  name: string;
  /** Whether the name is that of the file, perhaps with other characters. */
  isNamedByFile: boolean;
  /** Absolute path of the base config. */
  config: string;
  /** Values that all runs share. */
  set: Readonly<Record<string, PlainValue>>;
  /** One for each grid key, then one for each zipped group. */
  axes: readonly Axis[];
  random: { draws: number; seed: number; ranges: readonly RandomRange[] } | null;
  /** null for the seed of the base config. */
  seeds: readonly number[] | null;
  /** null if every run is trained to its end. */
  halving: Halving | null;
}

/** Successive halving: only one in `factor` settings goes on beyond each rung. */
export interface Halving {
  factor: number;
  unit: 'steps' | 'tokens' | 'time';
  /** Of the first rung: steps, tokens or milliseconds of training. */
  from: number;
}

const keys = ['name', 'config', 'set', 'grid', 'zip', 'random', 'seeds', 'halving'];

/** @throws wrongInput with file, line and column of the mistake */
export function readSweep(path: string): Sweep {
  let text: string;
  try {
    text = readBounded(path).toString('utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (!['ENOENT', 'ENOTDIR', 'EISDIR'].includes(String(code))) throw error;
    throw wrongInput(`${path} is not a file; a sweep is a YAML file that names a base config`, { cause: error });
  }
  const tree = mapping(parseLocated(text, originsIn(path)), path);
  knownKeys(tree, keys, 'a sweep');
  const config = tree.entries.get('config')?.value;
  if (config === undefined) throw wrongInput(`${path}: config is missing: the base config, relative to this file`);
  const name = tree.entries.get('name')?.value;
  const baseName = basename(path, extname(path));
  const axes = [...gridAxes(entry(tree, 'grid')), ...zipAxes(tree.entries.get('zip')?.value)];
  return {
    name: name ? textOf(name, 'name') : nameOfFile(baseName),
    isNamedByFile: name === undefined,
    config: resolve(dirname(path), textOf(config, 'config')),
    set: Object.fromEntries(configEntries(entry(tree, 'set')).map(([key, value]) => [key, absolute(value, key)])),
    axes,
    random: randomDraws(entry(tree, 'random')),
    seeds: seedsOf(tree.entries.get('seeds')?.value),
    halving: halvingOf(entry(tree, 'halving')),
  };
}

const fail = (value: LocatedValue, message: string): Error => wrongInput(`${location(value.origin)}: ${message}`);

function mapping(value: LocatedValue | null, path: string): LocatedMapping {
  if (value === null)
    throw wrongInput(`${path} is empty; a sweep needs at least config and grid, zip, random or seeds`);
  if (value.kind !== 'mapping') throw fail(value, 'expected a mapping of keys to values');
  return value;
}

function entry(tree: LocatedMapping, key: string): LocatedMapping | undefined {
  const value = tree.entries.get(key)?.value;
  return value === undefined ? undefined : mapping(value, '');
}

function knownKeys(tree: LocatedMapping, known: readonly string[], where: string): void {
  for (const [key, { keyOrigin }] of tree.entries) {
    if (!known.includes(key))
      throw wrongInput(`${location(keyOrigin)}: ${key} is not a key of ${where}; the keys are ${known.join(', ')}`);
  }
}

function textOf(value: LocatedValue, what: string): string {
  if (value.kind === 'scalar' && typeof value.value === 'string' && value.value !== '') return value.value;
  throw fail(value, `${what} must be text`);
}

function number(value: LocatedValue | undefined, tree: LocatedValue, what: string, whole = false): number {
  const read = value?.kind === 'scalar' ? value.value : undefined;
  if (typeof read === 'number' && Number.isFinite(read) && (!whole || Number.isSafeInteger(read))) return read;
  throw fail(value ?? tree, `${what} must be a ${whole ? 'whole ' : ''}number`);
}

/** The entries of a mapping, after checking that they name config keys. */
function configEntries(tree: LocatedMapping | undefined): [string, LocatedValue][] {
  return Array.from(tree?.entries ?? [], ([key, { keyOrigin, value }]) => {
    const path = key.split('.');
    if (schemaAt(path.flatMap((part) => part.replace(/\[(\d+)\]/g, '.$1').split('.'))) === undefined) {
      throw wrongInput(
        `${location(keyOrigin)}: ${key} is not a config key; ${suggestKey(path.slice(0, -1), path.at(-1)!)}`,
      );
    }
    if (key === 'name')
      throw wrongInput(`${location(keyOrigin)}: name cannot be set; the values that vary name the runs of a sweep`);
    return [key, value] as [string, LocatedValue];
  });
}

function listOf(key: string, value: LocatedValue): LocatedValue[] {
  if (value.kind === 'list' && value.items.length > 0) return value.items;
  throw fail(value, `${key} must be a list of at least one value`);
}

const gridAxes = (grid: LocatedMapping | undefined): Axis[] =>
  configEntries(grid).map(([key, value]) => listOf(key, value).map((item) => ({ [key]: absolute(item, key) })));

function zipAxes(zip: LocatedValue | undefined): Axis[] {
  if (zip === undefined) return [];
  const groups = zip.kind === 'list' ? zip.items : [zip];
  return groups.map((group) => {
    const columns = configEntries(mapping(group, '')).map(([key, value]) => ({
      key,
      value,
      items: listOf(key, value),
    }));
    const first = columns[0];
    if (first === undefined) throw fail(group, 'zip needs keys with lists of equal length');
    for (const { key, value, items } of columns) {
      if (items.length === first.items.length) continue;
      throw fail(
        value,
        `${key} has ${items.length} values, ${first.key} has ${first.items.length}; zipped lists need the same length`,
      );
    }
    return first.items.map((_, i) =>
      Object.fromEntries(columns.map(({ key, items }) => [key, absolute(items[i]!, key)])),
    );
  });
}

function randomDraws(random: LocatedMapping | undefined): Sweep['random'] {
  if (random === undefined) return null;
  knownKeys(random, ['draws', 'seed', 'ranges'], 'random');
  const draws = number(valueAt(random, ['draws']), random, 'random.draws', true);
  if (draws < 1) throw fail(random, 'random.draws must be at least 1');
  const seed = random.entries.has('seed') ? number(valueAt(random, ['seed']), random, 'random.seed', true) : 0;
  const ranges = configEntries(entry(random, 'ranges')).map(([key, value]): RandomRange => {
    const tree = mapping(value, '');
    knownKeys(tree, ['from', 'to', 'scale', 'whole'], `the range of ${key}`);
    const from = number(valueAt(tree, ['from']), tree, `${key}: from`);
    const to = number(valueAt(tree, ['to']), tree, `${key}: to`);
    const scale = valueAt(tree, ['scale']);
    const name = scale === undefined ? 'linear' : textOf(scale, 'scale');
    if (name !== 'linear' && name !== 'log') throw fail(scale!, 'scale must be linear or log');
    if (from >= to) throw fail(tree, `${key}: from must be less than to`);
    if (name === 'log' && from <= 0) throw fail(tree, `${key}: a log scale needs from greater than 0`);
    const whole = valueAt(tree, ['whole']);
    return { key, from, to, scale: name, whole: whole !== undefined && plainValue(whole) === true };
  });
  if (ranges.length === 0) throw fail(random, 'random.ranges is missing: keys with { from, to }');
  return { draws, seed, ranges };
}

/** A list of seeds, or how many: 3 means the seeds 1, 2 and 3. */
function seedsOf(value: LocatedValue | undefined): number[] | null {
  if (value === undefined) return null;
  if (value.kind === 'list') return listOf('seeds', value).map((item) => number(item, value, 'a seed', true));
  const count = number(value, value, 'seeds', true);
  if (count < 1) throw fail(value, 'seeds must be at least 1, or a list');
  return Array.from({ length: count }, (_, i) => i + 1);
}

/** `{ factor: 3, from: 200 }` in steps, or `from: { tokens: 1e6 }` or `from: { time: 30s }`. */
function halvingOf(tree: LocatedMapping | undefined): Halving | null {
  if (tree === undefined) return null;
  knownKeys(tree, ['factor', 'from'], 'halving');
  const factorValue = valueAt(tree, ['factor']);
  const factor = factorValue === undefined ? 3 : number(factorValue, tree, 'halving.factor', true);
  if (factor < 2) throw fail(factorValue!, 'halving.factor must be a whole number of at least 2');
  const from = valueAt(tree, ['from']);
  if (from === undefined) throw fail(tree, 'halving.from is missing: the steps of the first rung, such as 200');
  if (from.kind !== 'mapping') return { factor, unit: 'steps', from: positive(from, 'halving.from', tree) };
  knownKeys(from, ['steps', 'tokens', 'time'], 'halving.from');
  const [unit, ...others] = [...from.entries.keys()] as Halving['unit'][];
  if (unit === undefined || others.length > 0) throw fail(from, 'halving.from needs one of steps, tokens and time');
  const value = valueAt(from, [unit])!;
  const text = unit === 'time' && value.kind === 'scalar' ? String(value.value) : undefined;
  if (text !== undefined)
    return { factor, unit, from: parseDuration(text, `${location(value.origin)}: halving.from.time`) };
  return { factor, unit, from: positive(value, `halving.from.${unit}`, from) };
}

function positive(value: LocatedValue, what: string, tree: LocatedValue): number {
  const amount = number(value, tree, what, true);
  if (amount < 1) throw fail(value, `${what} must be at least 1`);
  return amount;
}

/** The value with every path in it made absolute; paths are relative to the file that contains them. */
function absolute(value: LocatedValue, key: string): PlainValue {
  if (value.kind === 'list') return value.items.map((item) => absolute(item, key));
  if (value.kind === 'mapping')
    return Object.fromEntries(Array.from(value.entries, ([name, each]) => [name, absolute(each.value, name)]));
  const isPath = /(^|\.)path$|^start\.from$|^corpus\.cache$/.test(key) && typeof value.value === 'string';
  return isPath ? resolve(value.origin.directory, value.value as string) : value.value;
}
