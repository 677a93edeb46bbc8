/** Expands a sweep into its runs: every combination of values, each named by the values that vary. */
import type { PlainValue } from '../../config/located.ts';
import { wrongInput } from '../../errors.ts';
import { randomStream } from '../../random.ts';
import type { RandomRange, Sweep } from './sweepFile.ts';

export interface SweepRun {
  /** Name of the run and of its directory, e.g. `learningRate-0.001_seed-1`. */
  name: string;
  /** The values that vary, without the seed: equal for runs of one setting. */
  setting: string;
  /** Assignments for `--set`. */
  set: string[];
}

type Values = Readonly<Record<string, PlainValue>>;

/**
 * The runs in nested order: grid keys outermost, then zipped groups, random draws and seeds.
 *
 * @throws wrongInput if a key varies twice or two runs would have the same name
 */
export function expandSweep(sweep: Sweep): SweepRun[] {
  const draws = sweep.random === null ? [] : [drawsOf(sweep.random)];
  const seeds = sweep.seeds === null ? [] : [sweep.seeds.map((seed) => ({ seed }))];
  const axes: (readonly Values[])[] = [...sweep.axes, ...draws, ...seeds];
  const combinations = axes.reduce<Values[]>(
    (all, axis) => all.flatMap((values) => axis.map((each) => ({ ...values, ...each }))),
    [{}],
  );
  const keys = Object.keys(combinations[0] ?? {});
  const repeated = keys.find((key) => axes.filter((axis) => key in axis[0]!).length > 1 || key in sweep.set);
  if (repeated !== undefined)
    throw wrongInput(`the sweep sets ${repeated} twice; name it in only one of set, grid, zip, random and seeds`);
  const runs = combinations.map((values): SweepRun => {
    const name = nameOfValues(values) || sweep.name;
    const assignments = Object.entries({ ...sweep.set, ...values }).map(
      ([key, value]) => `${key}=${JSON.stringify(value)}`,
    );
    const { seed: _, ...others } = values;
    return {
      name: name.slice(0, maxNameCharacters),
      setting: JSON.stringify(others),
      set: [`name=${JSON.stringify(name.slice(0, maxNameCharacters))}`, ...assignments],
    };
  });
  const names = new Map<string, number>();
  for (const [i, { name }] of runs.entries()) {
    const first = names.get(name);
    if (first !== undefined) throw wrongInput(whyEqual(name, combinations[first]!, combinations[i]!));
    names.set(name, i);
  }
  return runs;

  function nameOfValues(values: Values): string {
    return keys.map((key) => `${shortName(key, keys)}-${valueName(values[key]!)}`).join('_');
  }
}

/** Why two runs would have one name, and what to do about it. */
function whyEqual(name: string, first: Values, second: Values): string {
  const differing = Object.keys(first).filter((key) => JSON.stringify(first[key]) !== JSON.stringify(second[key]));
  const two = `two runs of the sweep would be named ${name}`;
  if (differing.length === 0) return `${two}: a value is there twice, perhaps in two spellings. Remove one of them`;
  const key = differing.find((one) => valueName(first[one]!) === valueName(second[one]!));
  if (key === undefined)
    return (
      `${two}: names are cut to ${maxNameCharacters} characters, and theirs differ only after that, in ` +
      `${differing.join(', ')}. Shorten the values, or vary fewer keys in one sweep`
    );
  const [one, other] = [first[key], second[key]].map((value) => JSON.stringify(value));
  const isPath = /(^|\.)path$/.test(key);
  const rule = isPath
    ? 'a path counts by its file name only. Rename one of the files'
    : 'they look the same in a name, which has letters, digits, dots and dashes. Give them in two sweeps';
  return `${two}: ${key} is ${one} in one and ${other} in the other, and ${rule}`;
}

const maxNameCharacters = 200;

/** The last part of a key, or the whole key if another one ends in the same part. */
function shortName(key: string, keys: readonly string[]): string {
  const last = (name: string): string => name.slice(name.lastIndexOf('.') + 1);
  const isAlone = keys.filter((other) => last(other) === last(key)).length === 1;
  return nameOf(isAlone ? last(key) : key);
}

/** A path is shortened to its file name: long paths differ only at their end, which `maxNameCharacters` would cut. */
const valueName = (value: PlainValue): string =>
  nameOf(
    typeof value === 'string' ? value.slice(value.lastIndexOf('/') + 1) : JSON.stringify(value).replace('e+', 'e'),
  ) || 'empty';

const nameOf = (text: string): string => text.replace(/[^\p{L}\p{M}\p{N}.-]+/gu, '-').replace(/^[-.]+(?=\D)|-+$/g, '');

/**
 * Draw d of a key depends only on the seed, the key and d, so adding ranges or draws does not change it. Equal draws
 * become one run.
 */
function drawsOf({ draws, seed, ranges }: NonNullable<Sweep['random']>): Values[] {
  const drawnValues = Array.from({ length: draws }, (_, d) =>
    Object.fromEntries(ranges.map((range) => [range.key, drawn(range, seed, d)])),
  );
  return [...new Map(drawnValues.map((values) => [JSON.stringify(values), values])).values()];
}

function drawn({ key, from, to, scale, whole }: RandomRange, seed: number, draw: number): number {
  const uniform = randomStream(seed, `sweep/${key}`, draw).uniform();
  // A whole number n is drawn as the interval [n, n + 1), so that both ends are as likely as the others.
  const end = whole ? to + 1 : to;
  const value =
    scale === 'log'
      ? Math.exp(Math.log(from) + uniform * (Math.log(end) - Math.log(from)))
      : from + uniform * (end - from);
  return whole ? Math.min(to, Math.floor(value)) : Number(value.toPrecision(4));
}
