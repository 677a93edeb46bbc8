/** What a comparison of runs says: the settings in order, the differences between them, and the answer in words. */
import type { Spread } from '../../statistics.ts';
import type { Difference } from './differences.ts';
import type { Alignment, RunFigures } from './runFigures.ts';
import type { DifferingKey } from './settings.ts';

/** Which validation loss of a run settings are ranked by: the last, the lowest, or the one at the common amount. */
export type RankedBy = 'validationLoss' | 'bestValidationLoss' | 'alignedLoss';

/** Nats per token for one tokenizer; bits per byte of text do not depend on the tokenizer. */
export type Measure = 'loss' | 'bitsPerByte';

/** The figure that settings are ranked by. */
export const rankedFigure = {
  loss: { validationLoss: 'validationLoss', bestValidationLoss: 'bestValidationLoss', alignedLoss: 'alignedLoss' },
  bitsPerByte: {
    validationLoss: 'bitsPerByte',
    bestValidationLoss: 'bestBitsPerByte',
    alignedLoss: 'alignedBitsPerByte',
  },
} as const satisfies Record<Measure, Record<RankedBy, keyof RunFigures>>;

export const averagedFigures = [
  'validationLoss',
  'bestValidationLoss',
  'alignedLoss',
  'bitsPerByte',
  'bestBitsPerByte',
  'alignedBitsPerByte',
  'margin',
  'accuracy',
  'trainingLoss',
  'tokensPerSecond',
] as const satisfies (keyof RunFigures)[];
export type AveragedFigure = (typeof averagedFigures)[number];

/** A setting: its runs, and the means of those that count, one observation for each seed. */
export interface Group extends Record<AveragedFigure, Spread | null> {
  /** What tells it from the others: `learningRate 3e-4`, or the names of its runs. */
  name: string;
  /** Values of the keys in which groups differ, without the seed. */
  values: Record<string, unknown>;
  /** Seeds of the runs that count. */
  seeds: unknown[];
  runs: RunFigures[];
}

/** Whether the runs have different objectives. */
export const differInObjective = ({ differing }: Pick<Comparison, 'differing'>): boolean =>
  differing.some(({ key }) => key.startsWith('training.objective.'));

export interface Comparison {
  /** The result in sentences; the first one is the answer. */
  answer: string[];
  /** What a reader must know to trust it: runs left out, lengths that differ, and the like. */
  notes: string[];
  /** Keys that differ, each with the values of all runs in the order given. */
  differing: DifferingKey[];
  alignment: Alignment;
  /**
   * The largest amount that all runs reached (failed runs aside), in tokens, FLOPs, ms or steps; null if it is unknown
   * for one of them.
   */
  amount: number | null;
  /** False if the runs were evaluated on different texts, or have different objectives: then nothing is ranked. */
  isComparable: boolean;
  measure: Measure;
  rankedBy: RankedBy;
  /** Sorted by mean, lowest first; in the order given if the runs are not comparable. */
  groups: Group[];
  /** Of each further group to the first. */
  differences: (Difference | null)[];
  /** Correction of the intervals for several comparisons with the best; null if there is one, or none. */
  correction: { method: 'holm'; comparisons: number } | null;
}
