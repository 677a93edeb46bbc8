/** Names of settings for tables and sentences: the keys that tell them apart, with their values. */
import { isDeepStrictEqual } from 'node:util';

interface NamedSetting {
  values: Readonly<Record<string, unknown>>;
  runs: readonly { summary: { name: string } }[];
}

/** Of more keys not all are named: a few that tell the settings apart, or the runs. */
const mostKeys = 3;
const longestName = 60;

/** A unique name of each setting. */
export function settingNames(settings: readonly NamedSetting[]): string[] {
  const keys = Object.keys(settings[0]?.values ?? {});
  if (keys.length === 0) return unique(settings.map(runNames));
  if (keys.length <= mostKeys) {
    const names = keyNames(settings, keys);
    return unique(names.some((name) => name.length > longestName) ? settings.map(runNames) : names);
  }
  if (settings.every(({ runs }) => runs.length === 1)) return unique(settings.map(runNames));
  const names = keyNames(settings, distinguishing(settings, keys)).map((name) => `${name}, …`);
  return unique(names.some((name) => name.length > longestName) ? settings.map(runNames) : names);
}

/** Keys and values; a key that is null or not set is left out where the others tell the settings apart. */
function keyNames(settings: readonly NamedSetting[], keys: readonly string[]): string[] {
  const name = (values: Readonly<Record<string, unknown>>, shown: readonly string[]): string =>
    shown.map((key) => `${shortKey(key, keys)} ${valueText(shortPath(key, values[key], settings))}`).join(', ');
  const brief = settings.map(({ values }) =>
    name(
      values,
      keys.filter((key) => values[key] !== null),
    ),
  );
  const isEnough = new Set(brief).size === settings.length && !brief.includes('');
  return isEnough ? brief : settings.map(({ values }) => name(values, keys));
}

/** As few keys as tell all settings apart, each chosen because it tells the most apart. */
function distinguishing(settings: readonly NamedSetting[], keys: readonly string[]): string[] {
  const parts = (chosen: readonly string[]): number =>
    new Set(settings.map(({ values }) => JSON.stringify(chosen.map((key) => values[key])))).size;
  const chosen: string[] = [];
  while (parts(chosen) < settings.length && chosen.length < keys.length) {
    const rest = keys.filter((key) => !chosen.includes(key));
    chosen.push(rest.reduce((best, key) => (parts([...chosen, key]) > parts([...chosen, best]) ? key : best)));
  }
  return chosen;
}

const runNames = ({ runs }: NamedSetting): string => namesTogether(runs.map(({ summary }) => summary.name));

/** Names of runs as the name of their setting. */
export function namesTogether(runs: readonly string[]): string {
  const names = [...new Set(runs)];
  const all = names.join(', ');
  return names.length <= 2 || all.length <= longestName ? all : `${names[0]} and ${names.length - 1} more`;
}

/** Equal names get a number, so that sentences about them can be understood. */
function unique(names: readonly string[]): string[] {
  return names.map((name, i) => {
    if (names.filter((each) => each === name).length === 1) return name;
    return `${name} (${names.slice(0, i + 1).filter((each) => each === name).length})`;
  });
}

/** The last part of a key; with the part before it where that says more or another key ends in the same part. */
function shortKey(key: string, keys: readonly string[]): string {
  const [last, ...before] = key.split('.').reverse();
  if (before.length === 0) return key;
  if (last === 'kind' || last === 'path') return before[0]!;
  return keys.some((other) => other !== key && other.endsWith(`.${last}`)) ? key : last!;
}

/** The last part of a path if that is enough. */
function shortPath(key: string, value: unknown, settings: readonly NamedSetting[]): unknown {
  if (!key.endsWith('.path') && key !== 'start.from') return value;
  const last = (path: unknown): unknown => (typeof path === 'string' ? path.slice(path.lastIndexOf('/') + 1) : path);
  const isEnough = settings.every(
    ({ values: { [key]: other } }) => isDeepStrictEqual(other, value) || last(other) !== last(value),
  );
  return isEnough ? last(value) : value;
}

/** A config value in a name: small numbers as in configs (3e-4). */
export function valueText(value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' && value !== 0 && (Math.abs(value) < 1e-2 || Math.abs(value) >= 1e7))
    return value.toExponential().replace('e+', 'e');
  return JSON.stringify(value) ?? 'not set';
}
