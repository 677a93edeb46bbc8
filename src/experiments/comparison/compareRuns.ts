/**
 * Compares runs by setting: validation losses at the end, at their lowest, and after an equal amount of tokens, FLOPs,
 * time or steps, in a measure that the runs have in common, with the differences to the best setting.
 */
import { spreadOf, type Spread } from '../../statistics.ts';
import type { RunHistory } from '../runHistory.ts';
import {
  averagedFigures,
  rankedFigure,
  type AveragedFigure,
  type Comparison,
  type Group,
  type RankedBy,
} from './comparison.ts';
import { differencesTo, type Observation } from './differences.ts';
import { notesOf } from './notes.ts';
import { amountAt, figuresOf, isFinished, lastStep, type Alignment, type RunFigures } from './runFigures.ts';
import { differ, differingKeys, settingsOf, type DifferingKey, type Setting } from './settings.ts';
import { validationKeys } from './validationText.ts';
import { answerOf } from './wording.ts';

export interface ComparisonOptions {
  alignment?: Alignment | undefined;
  amount?: number | undefined;
  /** Default: the last evaluation of finished runs, or the common amount while fewer than two settings have any. */
  rankedBy?: RankedBy | undefined;
}

export function compareRuns(runs: readonly RunHistory[], options: ComparisonOptions = {}): Comparison {
  const alignment = options.alignment ?? 'tokens';
  const differing = differingKeys(runs);
  const settings = settingsOf(runs, differing);
  const amount = commonAmount(runs, alignment, options.amount);
  const rankedBy = options.rankedBy ?? defaultRank(settings);
  const isComparable = !differ(validationKeys(runs));
  const measure = haveOneTokenizer(runs, differing) ? 'loss' : 'bitsPerByte';
  const figure = rankedFigure[measure][rankedBy];
  const groups = settings.map(({ name, values, runs: members }): Group & { observations: Observation[] } => {
    const figures = members.map((run): RunFigures => {
      const own = figuresOf(run, alignment, amount);
      return { ...own, isCounted: own[figure] !== null && (rankedBy === 'alignedLoss' || isFinished(run)) };
    });
    return { name, values, ...averaged(figures), observations: observationsOf(figures, figure) };
  });
  const mean = (group: Group): number => group[figure]?.mean ?? Infinity;
  const byRank = (a: Group, b: Group): number => compareNumbers(mean(a), mean(b)) || furthest(b) - furthest(a);
  const ranked = isComparable ? groups.toSorted(byRank) : groups;
  const [best, ...others] = ranked.map(({ observations }) => observations);
  const { differences, comparisons } = isComparable
    ? differencesTo(best!, others)
    : { differences: others.map(() => null), comparisons: 0 };
  const comparison = {
    differing,
    alignment,
    amount,
    isComparable,
    measure,
    rankedBy,
    groups: ranked.map(({ observations: _, ...group }): Group => group),
    differences,
    correction: comparisons > 1 ? ({ method: 'holm', comparisons } as const) : null,
  } satisfies Omit<Comparison, 'answer' | 'notes'>;
  return {
    answer: answerOf(comparison),
    notes: notesOf(comparison, runs, options.rankedBy === undefined),
    ...comparison,
  };
}

/** Settings without a loss that counts, such as those that halving has stopped, are sorted by how far they came. */
const furthest = ({ runs }: Group): number => Math.max(...runs.map(({ step }) => step));

/** The last evaluation; the common amount if that leaves less than two settings and others are still to be finished. */
function defaultRank(settings: readonly Setting[]): RankedBy {
  const unfinished = settings.filter(({ runs }) => !runs.some(isFinished));
  const isComing = ({ summary, halvedAt }: RunHistory): boolean => summary.state !== 'failed' && halvedAt === null;
  const isWaiting = unfinished.some(({ runs }) => runs.some(isComing));
  return isWaiting && settings.length - unfinished.length < 2 ? 'alignedLoss' : 'validationLoss';
}

/** By the hashes of their tokenizers; by the config if a run has none. */
function haveOneTokenizer(runs: readonly RunHistory[], differing: readonly DifferingKey[]): boolean {
  const hashes = runs.map(({ tokenizerSha256 }) => tokenizerSha256);
  if (hashes.includes(undefined)) return !differing.some(({ key }) => key.startsWith('tokenizer.'));
  return !differ(hashes);
}

/** Infinity is equal to itself. */
const compareNumbers = (a: number, b: number): number => (a < b ? -1 : a > b ? 1 : 0);

/** A run that failed early does not shorten the comparison of the others. */
function commonAmount(runs: readonly RunHistory[], alignment: Alignment, most = Infinity): number | null {
  const unfailed = runs.filter(({ summary }) => summary.state !== 'failed');
  const reached = (unfailed.length > 0 ? unfailed : runs).map((run) => amountAt(run, alignment, lastStep(run)));
  return reached.some((each) => each === null) ? null : Math.min(most, ...(reached as number[]));
}

/** Means over seeds. Equal runs of one seed are one observation: their mean. */
function averaged(runs: RunFigures[]): Omit<Group, 'name' | 'values'> {
  const counted = bySeed(runs.filter(({ isCounted }) => isCounted));
  const spreads = averagedFigures.map((figure) => {
    const ofSeeds = counted.map((equal) => spreadOf(equal.map((run) => run[figure]))?.mean ?? null);
    return [figure, spreadOf(ofSeeds)] as const;
  });
  return {
    seeds: counted.map(([run]) => run!.seed),
    runs,
    ...(Object.fromEntries(spreads) as Record<AveragedFigure, Spread | null>),
  };
}

function observationsOf(runs: readonly RunFigures[], figure: AveragedFigure): Observation[] {
  return bySeed(runs.filter(({ isCounted }) => isCounted)).map((equal) => ({
    seed: equal[0]!.seed ?? equal[0]!.path,
    value: spreadOf(equal.map((run) => run[figure]))!.mean,
  }));
}

/** A run without a known seed is on its own. */
function bySeed(runs: readonly RunFigures[]): RunFigures[][] {
  const seeds = new Map<unknown, RunFigures[]>();
  for (const run of runs) {
    const seed = run.seed ?? run.path;
    seeds.set(seed, [...(seeds.get(seed) ?? []), run]);
  }
  return [...seeds.values()];
}
