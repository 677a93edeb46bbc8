/**
 * Compares runs: the config keys that differ, and losses at the end, at their lowest, and after an equal amount of
 * tokens, FLOPs, time or steps. Runs that differ only by seed form one group.
 */
import { isDeepStrictEqual } from 'node:util';
import type { RunHistory } from './runHistory.ts';
import { finite } from './runSummary.ts';
import { differenceOf, median, spreadOf, type Difference, type Spread } from '../statistics.ts';

export const alignments = ['tokens', 'flops', 'time', 'steps'] as const;
export type Alignment = (typeof alignments)[number];

/** Measurements of one run; losses in nats per token. */
interface RunFigures {
  name: string;
  path: string;
  state: string;
  seed: unknown;
  validationLoss: number | null;
  bestValidationLoss: number | null;
  /** Validation loss at the common amount, interpolated linearly between two evaluations. */
  alignedLoss: number | null;
  /** Mean over the last twentieth of the updates. */
  trainingLoss: number | null;
  tokensPerSecond: number | null;
  trainedMs: number | null;
}

export interface Group {
  /** Values of the keys in which groups differ, without the seed. */
  values: Record<string, unknown>;
  runs: RunFigures[];
  validationLoss: Spread | null;
  bestValidationLoss: Spread | null;
  alignedLoss: Spread | null;
  trainingLoss: Spread | null;
  tokensPerSecond: Spread | null;
}

export interface Comparison {
  /** Keys that differ, each with the values of all runs in the order given. */
  differing: { key: string; values: unknown[] }[];
  alignment: Alignment;
  /**
   * The largest amount that all runs reached (failed runs aside), in tokens, FLOPs, ms or steps; null if it is unknown
   * for one of them.
   */
  amount: number | null;
  /** Sorted by mean loss, lowest first. */
  groups: Group[];
  /** Of each further group to the first, in the loss they are ranked by. */
  differences: (Difference | null)[];
  rankedBy: RankedBy;
}

export type RankedBy = 'validationLoss' | 'bestValidationLoss' | 'alignedLoss';

/** Keys that cannot change a loss: names, seeds, what is written during training and how data is loaded. */
const keyWithoutEffect =
  /^(name$|seed$|checkpoints\.|samples\.|reports\.|evaluation\.everySteps$|corpus\.(workers|cache)$)/;

export function compareRuns(
  runs: readonly RunHistory[],
  options: { alignment?: Alignment; amount?: number; rankedBy?: RankedBy } = {},
): Comparison {
  const { alignment = 'tokens', rankedBy = 'validationLoss' } = options;
  const keys = [...new Set(runs.flatMap(({ config }) => [...config.keys()]))];
  const differing = keys
    .map((key) => ({ key, values: runs.map(({ config }) => config.get(key)) }))
    .filter(({ key, values }) => key !== 'name' && values.some((each) => !isDeepStrictEqual(each, values[0])));
  const groupKeys = differing.filter(({ key }) => !keyWithoutEffect.test(key));
  // A run that failed early does not shorten the comparison of the others.
  const unfailed = runs.filter(({ summary }) => summary.state !== 'failed');
  const reached = (unfailed.length > 0 ? unfailed : runs).map((run) => amountAt(run, alignment, lastStep(run)));
  const least = reached.some((each) => each === null) ? null : Math.min(...(reached as number[]));
  const amount = least === null || options.amount === undefined ? least : Math.min(least, options.amount);

  const runsByGroup = new Map<string, Pick<Group, 'values' | 'runs'>>();
  runs.forEach((run, i) => {
    const values = Object.fromEntries(groupKeys.map(({ key, values: each }) => [key, each[i] ?? null]));
    const group = runsByGroup.get(JSON.stringify(values)) ?? { values, runs: [] };
    group.runs.push(figuresOf(run, alignment, amount));
    runsByGroup.set(JSON.stringify(values), group);
  });
  const groups = [...runsByGroup.values()].map((group): Group => {
    const spread = (key: keyof RunFigures & keyof Group): Spread | null =>
      spreadOf(group.runs.map((figures) => figures[key]));
    return {
      ...group,
      validationLoss: spread('validationLoss'),
      bestValidationLoss: spread('bestValidationLoss'),
      alignedLoss: spread('alignedLoss'),
      trainingLoss: spread('trainingLoss'),
      tokensPerSecond: spread('tokensPerSecond'),
    };
  });
  const ranked = groups.toSorted((a, b) => (a[rankedBy]?.mean ?? Infinity) - (b[rankedBy]?.mean ?? Infinity));
  const best = ranked[0]?.[rankedBy];
  const differences = ranked
    .slice(1)
    .map((group) => (best && group[rankedBy] ? differenceOf(best, group[rankedBy]) : null));
  return { differing, alignment, amount, groups: ranked, differences, rankedBy };
}

function figuresOf(run: RunHistory, alignment: Alignment, amount: number | null): RunFigures {
  const { summary, updates } = run;
  const latest = updates.loss.slice(-Math.max(1, Math.ceil(updates.loss.length / 20)));
  return {
    name: summary.name,
    path: summary.path,
    state: summary.state,
    seed: run.config.get('seed') ?? null,
    validationLoss: summary.validationLoss,
    bestValidationLoss: summary.bestValidationLoss,
    alignedLoss: amount === null ? null : validationLossAt(run, alignment, amount),
    trainingLoss: spreadOf(latest.filter(Number.isFinite))?.mean ?? null,
    tokensPerSecond: finite(median(updates.tokensPerSecond.filter(Number.isFinite))),
    trainedMs: updates.trainedMs.at(-1) ?? null,
  };
}

const lastStep = ({ updates, evaluations }: RunHistory): number =>
  Math.max(0, updates.step.at(-1) ?? 0, evaluations.at(-1)?.step ?? 0);

/** The amount that a run has trained for after `step` updates; null if its records do not tell. */
export function amountAt({ environment, updates }: RunHistory, alignment: Alignment, step: number): number | null {
  const plan = environment?.plan;
  if (alignment === 'steps') return step;
  if (alignment === 'tokens') return plan ? step * plan.tokensPerStep : null;
  if (alignment === 'flops') return plan ? step * plan.tokensPerStep * plan.flopsPerToken : null;
  if (step === 0) return 0;
  // Not every step is logged: take the first record at or after the step, or the last record.
  let low = 0;
  for (let high = updates.step.length - 1; low < high; ) {
    const middle = (low + high) >> 1;
    if (updates.step[middle]! < step) low = middle + 1;
    else high = middle;
  }
  return updates.trainedMs[low] ?? null;
}

/** The validation loss after `amount`, interpolated; null before the first or after the last evaluation. */
function validationLossAt(run: RunHistory, alignment: Alignment, amount: number): number | null {
  let before: [x: number, loss: number] | undefined;
  for (const evaluation of run.evaluations) {
    const x = amountAt(run, alignment, evaluation.step);
    const loss = finite(evaluation.loss);
    if (x === null || loss === null) continue;
    if (x >= amount) {
      if (x === amount) return loss;
      if (before === undefined) return null;
      return before[1] + ((loss - before[1]) * (amount - before[0])) / (x - before[0]);
    }
    before = [x, loss];
  }
  return null;
}
