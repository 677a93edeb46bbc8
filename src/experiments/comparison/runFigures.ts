/** The figures of one run that a comparison is made from. */
import { trainedAmount } from '../../run/environment.ts';
import type { RunHistory } from '../runHistory.ts';
import { bestEvaluation, finite } from '../runSummary.ts';
import { median, spreadOf } from '../../statistics.ts';

export const alignments = ['tokens', 'flops', 'time', 'steps'] as const;
export type Alignment = (typeof alignments)[number];

/** Losses in nats per token. */
export interface RunFigures {
  name: string;
  path: string;
  state: string;
  seed: unknown;
  /** Whether the run counts towards the means of its setting. */
  isCounted: boolean;
  /** Whether its training diverged. */
  isDiverged: boolean;
  /** Where the halving of its sweep stopped it, e.g. `200 steps`. */
  halvedAt: string | null;
  /** Updates made, and the steps of the last and of the best evaluation. */
  step: number;
  validationStep: number | null;
  bestStep: number | null;
  validationLoss: number | null;
  bestValidationLoss: number | null;
  /** Validation loss at the common amount, interpolated linearly between two evaluations. */
  alignedLoss: number | null;
  /** The same three in bits per byte of text. */
  bitsPerByte: number | null;
  bestBitsPerByte: number | null;
  alignedBitsPerByte: number | null;
  /** Of preference pairs, at the last evaluation; null for other runs. */
  margin: number | null;
  accuracy: number | null;
  /** Mean over the last twentieth of the updates. */
  trainingLoss: number | null;
  tokensPerSecond: number | null;
  trainedMs: number | null;
}

/** @param amount at which losses are aligned; null if it is unknown */
export function figuresOf(run: RunHistory, alignment: Alignment, amount: number | null): Omit<RunFigures, 'isCounted'> {
  const { summary, updates, evaluations } = run;
  const latest = updates.loss.slice(-Math.max(1, Math.ceil(updates.loss.length / 20)));
  const best = bestEvaluation(evaluations);
  return {
    name: summary.name,
    path: summary.path,
    state: summary.state,
    seed: run.config.get('seed') ?? null,
    isDiverged: hasDiverged(run),
    halvedAt: run.halvedAt,
    step: summary.step,
    validationStep: evaluations.at(-1)?.step ?? null,
    bestStep: summary.bestStep,
    validationLoss: summary.validationLoss,
    bestValidationLoss: summary.bestValidationLoss,
    alignedLoss: amount === null ? null : evaluatedAt(run, 'loss', alignment, amount),
    bitsPerByte: finite(evaluations.at(-1)?.bitsPerByte),
    bestBitsPerByte: finite(best?.bitsPerByte),
    alignedBitsPerByte: amount === null ? null : evaluatedAt(run, 'bitsPerByte', alignment, amount),
    margin: finite(evaluations.at(-1)?.margin),
    accuracy: finite(evaluations.at(-1)?.accuracy),
    trainingLoss: spreadOf(latest.filter(Number.isFinite))?.mean ?? null,
    tokensPerSecond: finite(median(updates.tokensPerSecond.filter(Number.isFinite))),
    trainedMs: updates.trainedMs.at(-1) ?? null,
  };
}

const hasDiverged = ({ summary: { state, reason } }: RunHistory): boolean =>
  state === 'failed' && /diverge/i.test(reason ?? '');

/** Whether a run has had all the training it was meant to have: its last step, its patience or its time limit. */
export const isFinished = ({ summary: { state, reason } }: RunHistory): boolean =>
  state === 'done' || (state === 'stopped' && (reason ?? '').startsWith('--max-time'));

/** The last step that a run has a record of. */
export const lastStep = ({ updates, evaluations }: RunHistory): number =>
  Math.max(0, updates.step.at(-1) ?? 0, evaluations.at(-1)?.step ?? 0);

/** The amount that a run has trained for after `step` updates; null if its records do not tell. */
export function amountAt({ environment, updates }: RunHistory, alignment: Alignment, step: number): number | null {
  const plan = environment?.plan;
  if (alignment === 'steps') return step;
  if (alignment === 'tokens' || alignment === 'flops') return plan ? trainedAmount(plan, step, alignment) : null;
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

/** An evaluation's figure after `amount`, interpolated; null before the first or after the last evaluation. */
function evaluatedAt(
  run: RunHistory,
  figure: 'loss' | 'bitsPerByte',
  alignment: Alignment,
  amount: number,
): number | null {
  let before: [x: number, value: number] | undefined;
  for (const evaluation of run.evaluations) {
    const x = amountAt(run, alignment, evaluation.step);
    const value = finite(evaluation[figure]);
    if (x === null || value === null) continue;
    if (x >= amount) {
      if (x === amount) return value;
      if (before === undefined) return null;
      return before[1] + ((value - before[1]) * (amount - before[0])) / (x - before[0]);
    }
    before = [x, value];
  }
  return null;
}
