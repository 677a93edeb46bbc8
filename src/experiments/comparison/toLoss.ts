/**
 * What each setting needs to reach a validation loss: steps, tokens, FLOPs and training time, with the spread of seeds
 * and the differences to the setting that needs least.
 */
import { spreadOf, type Spread } from '../../statistics.ts';
import type { RunHistory } from '../runHistory.ts';
import { differencesTo, type Difference, type Observation } from './differences.ts';
import { alignments, amountAt, type Alignment } from './runFigures.ts';
import { differ, differingKeys, settingsOf, type DifferingKey } from './settings.ts';
import { validationKeys } from './validationText.ts';

/** Interpolated between the last evaluation above the loss and the first at or below it. */
type Amounts = Record<Alignment, number | null>;

interface RunToLoss {
  name: string;
  path: string;
  seed: unknown;
  /** Null if no evaluation of the run is at or below the loss. */
  reached: Amounts | null;
}

export interface GroupToLoss {
  name: string;
  values: Record<string, unknown>;
  runs: RunToLoss[];
  /** Runs that reached the loss. */
  reached: number;
  /** Means over the seeds that reached it. */
  amounts: Record<Alignment, Spread | null>;
}

export interface ToLoss {
  toLoss: number;
  /** What settings are ranked by. */
  at: Alignment;
  /** False if the runs were evaluated on different texts: then nothing is ranked. */
  isComparable: boolean;
  differing: DifferingKey[];
  /** Those whose runs all reached the loss come first, the least amount first. */
  groups: GroupToLoss[];
  /** Of each further group to the first, in the unit of `at`; null if a seed of either has not reached the loss. */
  differences: (Difference | null)[];
}

/** @param toLoss in nats per token */
export function compareToLoss(runs: readonly RunHistory[], toLoss: number, at: Alignment): ToLoss {
  const differing = differingKeys(runs);
  const isComparable = !differ(validationKeys(runs)) && !differ(runs.map(({ tokenizerSha256 }) => tokenizerSha256));
  const groups = settingsOf(runs, differing).map(({ name, values, runs: members }): GroupToLoss => {
    const own = members.map((run): RunToLoss => ({ ...named(run), reached: amountsTo(run, toLoss) }));
    const amounts = (unit: Alignment): Spread | null => spreadOf(own.map(({ reached }) => reached?.[unit] ?? null));
    const entries = alignments.map((unit) => [unit, amounts(unit)] as const);
    const reached = own.filter((run) => run.reached !== null).length;
    return { name, values, runs: own, reached, amounts: Object.fromEntries(entries) as GroupToLoss['amounts'] };
  });
  const isWhole = (group: GroupToLoss): boolean => group.reached === group.runs.length;
  const needs = (group: GroupToLoss): number => group.amounts[at]?.mean ?? Infinity;
  const ranked = isComparable
    ? groups.toSorted((a, b) => Number(isWhole(b)) - Number(isWhole(a)) || compareNumbers(needs(a), needs(b)))
    : groups;
  const [best, ...others] = ranked.map((group) => (isWhole(group) && isComparable ? observationsOf(group, at) : []));
  return { toLoss, at, isComparable, differing, groups: ranked, differences: differencesTo(best!, others).differences };
}

const named = ({ summary: { name, path }, config }: RunHistory) => ({ name, path, seed: config.get('seed') ?? null });

const compareNumbers = (a: number, b: number): number => (a < b ? -1 : a > b ? 1 : 0);

const seedOf = ({ seed, path }: RunToLoss): unknown => seed ?? path;

/** Runs of one seed are one observation: their mean. A run without a known seed is on its own. */
function observationsOf({ runs }: GroupToLoss, at: Alignment): Observation[] {
  const seeds = [...new Set(runs.map(seedOf))];
  return seeds.flatMap((seed) => {
    const spread = spreadOf(runs.filter((run) => seedOf(run) === seed).map(({ reached }) => reached![at]));
    return spread === null ? [] : [{ seed, value: spread.mean }];
  });
}

/** The amounts at which a run comes to a loss for the first time. */
function amountsTo(run: RunHistory, toLoss: number): Amounts | null {
  const evaluations = run.evaluations.filter(({ loss }) => Number.isFinite(loss));
  const i = evaluations.findIndex(({ loss }) => loss <= toLoss);
  if (i < 0) return null;
  const [before, after] = [evaluations[i - 1], evaluations[i]!];
  // Share of the way from the evaluation before to this one.
  const share = before === undefined ? 1 : (before.loss - toLoss) / (before.loss - after.loss);
  const between = (unit: Alignment): number | null => {
    const [from, to] = [before ?? after, after].map(({ step }) => amountAt(run, unit, step));
    return from === null || to === null ? null : from! + share * (to! - from!);
  };
  return Object.fromEntries(alignments.map((unit) => [unit, between(unit)])) as Amounts;
}
