/**
 * What to say where a run is given and a config wanted or the reverse, or where there is nothing at a path but
 * something near it: the same command with the right path. Nothing if it is not plain which one that is; the command
 * then says itself what is wrong.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { loadConfig } from '../../config/load.ts';
import { findRuns } from '../../experiments/findRuns.ts';
import { readBounded } from '../../storage/boundedFile.ts';
import type { Usage } from '../usage.ts';
import { nearest } from './nearest.ts';
import { commandLine, splitWritten } from './writtenArguments.ts';

/** What is at a path, and the words that replace it, in this command or, with `command`, as all words of another. */
interface Proposal {
  problem: string;
  /** Whether it is one of several that would do. */
  isExample?: boolean;
  /** Whether the path is a folder with one run. */
  isOnlyRun?: boolean;
  words: readonly string[];
  command?: string;
}

/** @param parsed the arguments by their names */
export function placeHint(
  usage: Usage,
  written: readonly string[],
  parsed: Readonly<Record<string, unknown>>,
): string | undefined {
  for (const name of Object.keys(usage.positionals ?? {})) {
    const find = parsed['decode'] === true ? runAt : finders[name]; // `clm bench RUN --decode`
    if (find === undefined) continue;
    for (const place of [parsed[name]].flat()) {
      const proposal = typeof place === 'string' ? find(place, usage.command.startsWith('train ')) : undefined;
      // `clm runs show` takes the only run of a folder.
      if (proposal?.isOnlyRun === true && usage.command.startsWith('runs ')) continue;
      if (proposal !== undefined) return messageOf(proposal, usage, written, place as string);
    }
  }
  const { run, resume, config } = parsed;
  if (resume !== true || config !== undefined || typeof run !== 'string') return undefined;
  const proposal = runAt(run);
  return proposal?.command === undefined && proposal !== undefined
    ? messageOf(proposal, usage, written, run)
    : undefined;
}

function messageOf(
  { problem, words, command, isExample = false }: Proposal,
  usage: Usage,
  written: readonly string[],
  place: string,
): string {
  if (command !== undefined) return `${place} ${problem}: ${commandLine(command, words)}`;
  const pieces = splitWritten(usage, written);
  const given =
    pieces.findLast(({ kind, value }) => value === place && kind === 'argument') ??
    pieces.find(({ value }) => value === place)!;
  const replaced = new Set(words.filter((word) => word.startsWith('--')).map((word) => word.slice(2)));
  const all = pieces.flatMap((piece) => {
    if (piece !== given) return piece.kind === 'option' && replaced.has(piece.name) ? [] : piece.words;
    return piece.kind === 'argument' ? words : [`--${piece.name}`, ...words];
  });
  return `${place} ${problem}${isExample ? 'For example' : '; did you mean'}: ${commandLine(usage, all)}`;
}

const finders: Readonly<Record<string, (place: string, isTrain: boolean) => Proposal | undefined>> = {
  config: configAt,
  run: runAt,
  runs: (place) => (isFolder(place) ? undefined : runAt(place)),
  model: modelAt,
  sweep: sweepAt,
};

/** Where a run or a config will do. */
function modelAt(place: string): Proposal | undefined {
  if (isYaml(place) && existsSync(place)) return undefined;
  return runAt(place) ?? (existsSync(place) ? undefined : fileNear(place));
}

const isFolder = (place: string): boolean => statSync(place, { throwIfNoEntry: false })?.isDirectory() === true;
const isYaml = (place: string): boolean => /\.ya?ml$/i.test(place);
const has = (folder: string, ...names: string[]): boolean => names.some((name) => existsSync(path.join(folder, name)));
const isRun = (place: string): boolean =>
  isFolder(place) && has(place, 'environment.json', 'metrics.jsonl', 'checkpoints');
const isCheckpoint = (place: string): boolean => isFolder(place) && has(place, 'state.json', 'model.safetensors');

/** The run or checkpoint that a path is in, at most three levels up; `.` is not looked at. */
function around(place: string): string | undefined {
  for (let at = path.normalize(place), level = 0; level < 4 && at !== '.' && at !== '/'; level++) {
    if (isRun(at) || isCheckpoint(at)) return at;
    at = path.dirname(at);
  }
  return undefined;
}

const textNames = /\.(txt|text|md|jsonl|ndjson|json|csv|tsv|parquet|html?|xml|tex|rst)(\.(gz|zst))?$/i;

/** Where a config is wanted. */
function configAt(place: string, isTrain: boolean): Proposal | undefined {
  const init = { command: 'init', words: ['--text', place] };
  if (isFolder(place)) {
    const found = around(place);
    if (found !== undefined) return runAsConfig(found, isTrain);
    const isOfTexts = readdirSync(place).some((name) => textNames.test(name));
    return isOfTexts
      ? { problem: 'is a folder, not a config. To make a config for the texts in it', ...init }
      : undefined;
  }
  const base = baseOfSweep(place);
  if (base !== undefined && isTrain) return asSweep(place);
  if (base !== undefined) return { problem: 'is a sweep, not a config', words: [base] };
  if (existsSync(place))
    return textNames.test(place) ? { problem: 'is not a config. To make one for this text', ...init } : undefined;
  const file = fileNear(place);
  if (file !== undefined) return file;
  const run = [place, path.join('runs', place)].find((each) => isRun(each));
  return run === undefined ? undefined : runAsConfig(run, isTrain);
}

const asSweep = (place: string): Proposal => ({
  problem: 'is a sweep. To train its runs',
  command: 'sweep',
  words: [place],
});

/** Where a sweep is wanted. */
function sweepAt(place: string): Proposal | undefined {
  if (!existsSync(place)) return fileNear(place);
  const keys = Object.keys(mappingAt(place) ?? {});
  if (!keys.some((key) => configSections.includes(key)) || keys.some((key) => sweepKeys.includes(key)))
    return undefined;
  return { problem: 'is a config, not a sweep. To train it', command: 'train', words: [place] };
}

/** Top-level keys that only a sweep has, and keys that only a config has. */
const sweepKeys = ['config', 'grid', 'zip', 'random', 'seeds'];
const configSections = ['corpus', 'model', 'training', 'extends'];

/** The base config of a sweep file; undefined if there is another file, or none. */
function baseOfSweep(place: string): string | undefined {
  const { config } = mappingAt(place) ?? {};
  if (typeof config !== 'string') return undefined;
  return path.isAbsolute(config) ? config : path.join(path.dirname(place), config);
}

/** The top level of a YAML file; undefined if it cannot be read as one: the command says why. */
function mappingAt(place: string): Readonly<Record<string, unknown>> | undefined {
  if (!isYaml(place) || !existsSync(place)) return undefined;
  try {
    const tree: unknown = parse(readBounded(place).toString('utf8'));
    return typeof tree === 'object' && tree !== null ? (tree as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function runAsConfig(found: string, isTrain: boolean): Proposal {
  const problem = isCheckpoint(found) ? 'is a checkpoint, not a config' : 'is a run, not a config';
  const run = isCheckpoint(found) ? path.dirname(path.dirname(found)) : found;
  if (isTrain && isRun(run)) return { problem, words: ['--run', run, '--resume'] };
  return { problem, words: [path.join(found, 'config.yaml')] };
}

/** The file that a missing path is meant to be: with another extension, in configs/, or with a name like it. */
function fileNear(place: string): Proposal | undefined {
  const stem = place.replace(/\.(ya?ml|json)$/i, '');
  const likely = ['', 'configs'].flatMap((folder) =>
    [place, `${stem}.yaml`, `${stem}.yml`].map((name) => path.join(folder, name)),
  );
  const exact = likely.find((each) => isYaml(each) && existsSync(each) && !isFolder(each));
  const found = exact ?? likeIt(place, [path.dirname(place), 'configs'], isYaml);
  return found === undefined ? undefined : { problem: 'does not exist', words: [found] };
}

/** A path in one of the folders whose name is nearly that of `place`. */
function likeIt(place: string, folders: readonly string[], fits: (found: string) => boolean): string | undefined {
  for (const folder of new Set(folders)) {
    const names = isFolder(folder) ? readdirSync(folder).filter((name) => fits(path.join(folder, name))) : [];
    const [near] = nearest(path.basename(place), names);
    if (near !== undefined) return path.join(folder, near);
  }
  return undefined;
}

/** Where a run or a checkpoint is wanted. */
function runAt(place: string): Proposal | undefined {
  if (isRun(place) || isCheckpoint(place)) return undefined;
  if (existsSync(place)) {
    const found = around(place);
    if (found !== undefined) return { problem: 'is only a part of a run', words: [found] };
    if (isFolder(place)) return oneOfRuns(place);
    return isYaml(place) ? runOfConfig(place) : undefined;
  }
  const below = path.join('runs', place);
  if (isRun(below) || isCheckpoint(below)) return { problem: 'does not exist', words: [below] };
  const runs = isFolder('runs') ? findRuns('runs') : [];
  const [near] = nearest(
    place.replace(/^(\.\/)?runs\//, ''),
    runs.map((run) => path.relative('runs', run)),
  );
  const found = near === undefined ? likeIt(place, [path.dirname(place)], isRun) : path.join('runs', near);
  return found === undefined ? undefined : { problem: 'does not exist', words: [found] };
}

const shownRuns = 5;

/** A folder of runs, such as that of a sweep. */
function oneOfRuns(folder: string): Proposal | undefined {
  const runs = findRuns(folder);
  const [first] = runs;
  if (first === undefined) return undefined;
  if (runs.length === 1) return { problem: 'is not a run, but a folder with one', words: [first], isOnlyRun: true };
  const names = runs.slice(0, shownRuns).map((run) => `\n  ${path.relative(folder, run)}`);
  const more = runs.length > shownRuns ? `\n  and ${runs.length - shownRuns} more` : '';
  const problem = `is a folder of ${runs.length} runs; name one of them:${names.join('')}${more}\n`;
  return { problem, words: [first], isExample: true };
}

function runOfConfig(config: string): Proposal {
  if (baseOfSweep(config) !== undefined) return asSweep(config);
  let name = path.basename(config, path.extname(config));
  try {
    name = loadConfig(config).name;
  } catch {
    // The command for the config itself will say what is wrong with it.
  }
  const run = path.join('runs', name);
  if (isRun(run)) return { problem: 'is a config, not a run', words: [run] };
  return { problem: `is a config, and its run ${run} does not exist. To train it`, command: 'train', words: [config] };
}
