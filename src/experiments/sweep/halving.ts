/**
 * Successive halving (Jamieson and Talwalkar 2016, https://arxiv.org/abs/1502.07943): all settings train to the first
 * rung, the best of them to the next, which is `factor` times as far, and the last to the end. A setting is judged by
 * the mean validation loss of its seeds, which stay or go together.
 */
import { basename, dirname } from 'node:path';
import { readEvaluations } from '../../run/readMetrics.ts';
import { runPaths } from '../../run/runPaths.ts';
import type { PlannedStage } from '../../training/plan/plan.ts';
import { sumBefore } from '../../training/plan/stages.ts';
import type { PausePoint } from '../../training/timeLimit.ts';
import { timeText } from '../../units.ts';
import { finite } from '../runSummary.ts';
import type { Halving } from './sweepFile.ts';
import { sweepNotes } from './sweepLog.ts';

/** What a decision needs to know of a run. */
export interface HalvedRun {
  name: string;
  /** Equal for runs that differ only by seed. */
  setting: string;
  plan: { steps: number; tokensPerStep: number; stages?: readonly Pick<PlannedStage, 'fromStep' | 'tokensPerStep'>[] };
}

/** An amount at which settings are judged. */
export interface Rung extends Pick<Halving, 'unit'> {
  /** Steps, tokens or milliseconds of training. */
  amount: number;
}

/** A decision: which runs go on beyond a rung. */
export interface HalvingEvent extends Rung {
  kind: 'halving';
  kept: string[];
  dropped: string[];
  /** Validation losses at the rung by run; null for a run that has none, such as one that diverged. */
  losses: Record<string, number | null>;
}

export const settingCount = (runs: readonly HalvedRun[]): number => new Set(runs.map(({ setting }) => setting)).size;

/** How many settings go on. @param settings before the decision */
const keptOf = (settings: number, { factor }: Halving): number => Math.max(1, Math.ceil(settings / factor));

/** The step of a run at a rung, at most its last; null for a rung of time. */
export function stepAt({ unit, amount }: Rung, { steps, ...plan }: HalvedRun['plan']): number | null {
  if (unit === 'time') return null;
  if (unit === 'steps') return Math.min(steps, Math.ceil(amount));
  const stages = plan.stages ?? [{ fromStep: 0, ...plan }];
  const tokensBefore = (step: number): number => sumBefore(stages, step, ({ tokensPerStep }) => tokensPerStep);
  const stage = stages.findLast(({ fromStep }) => tokensBefore(fromStep) < amount) ?? stages[0]!;
  const rest = amount - tokensBefore(stage.fromStep);
  return Math.min(steps, stage.fromStep + Math.ceil(rest / stage.tokensPerStep));
}

export const rungText = ({ unit, amount }: Rung): string =>
  unit === 'time' ? `${timeText(amount)} of training` : `${Math.round(amount).toLocaleString('en-US')} ${unit}`;

/** Where the process of a run pauses; undefined if the rung is not before its end. */
export function pauseOf(rung: Rung, { plan }: HalvedRun): Pick<PausePoint, 'text'> | undefined {
  const step = stepAt(rung, plan);
  if (step === null) return { text: `${rung.amount / 1000}s` };
  return step < plan.steps ? { text: String(step) } : undefined;
}

/** The rungs before the end, how many settings train to each, and how many go to the end. */
export function plannedRungs(halving: Halving, runs: readonly HalvedRun[]) {
  const rungs: { rung: Rung; settings: number }[] = [];
  let settings = settingCount(runs);
  for (let amount = halving.from; settings > 1; amount *= halving.factor) {
    const rung = { unit: halving.unit, amount };
    if (!isBeforeEnd(rung, runs)) break;
    rungs.push({ rung, settings });
    settings = keptOf(settings, halving);
  }
  return { rungs, settingsToTheEnd: settings };
}

/** Share of the steps of all runs that are trained, if all runs are equally long; 1 for rungs of time. */
export function shareTrained(halving: Halving, runs: readonly HalvedRun[]): number {
  if (halving.unit === 'time') return 1;
  const whole = settingCount(runs);
  const { rungs, settingsToTheEnd } = plannedRungs(halving, runs);
  let [before, trained] = [0, 0];
  for (const { rung, settings } of rungs) {
    const meanShare = runs.reduce((sum, { plan }) => sum + stepAt(rung, plan)! / plan.steps, 0) / runs.length;
    trained += (settings / whole) * (meanShare - before);
    before = meanShare;
  }
  return trained + (settingsToTheEnd / whole) * (1 - before);
}

/** Whether some run is longer than a rung; a rung of time may be. */
export const isBeforeEnd = (rung: Rung, runs: readonly HalvedRun[]): boolean =>
  rung.unit === 'time' || runs.some(({ plan }) => stepAt(rung, plan)! < plan.steps);

/**
 * Decides which runs go on: those of the settings with the lowest mean validation loss; of equal ones the first of the
 * sweep. A setting that has no loss for one of its seeds comes last. A decision about the same runs that `sweep.jsonl`
 * has already stays as it was.
 *
 * @param directoryOf the run directory of a run
 */
export function decide(
  rung: Rung,
  halving: Halving,
  runs: readonly HalvedRun[],
  output: string,
  directoryOf: (name: string) => string,
): { event: HalvingEvent; isNew: boolean } {
  const names = runs.map(({ name }) => name);
  const earlier = earlierDecision(rung, names, output);
  if (earlier !== undefined) return { event: earlier, isNew: false };
  const losses = Object.fromEntries(
    runs.map((run) => [run.name, lossAt(directoryOf(run.name), stepAt(rung, run.plan))]),
  );
  const settings = [...new Set(runs.map(({ setting }) => setting))];
  const meanLoss = (setting: string): number => {
    const own = runs.filter((run) => run.setting === setting).map(({ name }) => losses[name] ?? Infinity);
    return own.reduce((sum, loss) => sum + loss, 0) / own.length;
  };
  const means = new Map(settings.map((setting) => [setting, meanLoss(setting)]));
  const ranked = settings.toSorted((a, b) => (means.get(a) === means.get(b) ? 0 : means.get(a)! - means.get(b)!));
  const kept = new Set(ranked.slice(0, keptOf(settings.length, halving)));
  const part = (isKept: boolean): string[] =>
    runs.filter(({ setting }) => kept.has(setting) === isKept).map(({ name }) => name);
  const { unit, amount } = rung;
  return { event: { kind: 'halving', unit, amount, kept: part(true), dropped: part(false), losses }, isNew: true };
}

/** The last evaluation up to a step; null without one. @param step null for the last of all */
function lossAt(runDirectory: string, step: number | null): number | null {
  const evaluations = readEvaluations(runPaths(runDirectory).metrics);
  return finite(evaluations.findLast((each) => each.step <= (step ?? Infinity))?.loss);
}

/** The decisions that `sweep.jsonl` of a sweep has. */
export const halvings = (output: string): HalvingEvent[] =>
  sweepNotes(output).filter((note): note is Record<string, unknown> & HalvingEvent => note['kind'] === 'halving');

/** The decision that has stopped a run of a sweep, if one has. */
export const stoppedAt = (runDirectory: string): HalvingEvent | undefined =>
  halvings(dirname(runDirectory)).findLast(({ dropped }) => dropped.includes(basename(runDirectory)));

const earlierDecision = ({ unit, amount }: Rung, names: readonly string[], output: string): HalvingEvent | undefined =>
  halvings(output).findLast((event) => {
    const judged = new Set([...event.kept, ...event.dropped]);
    const isSame = event.unit === unit && event.amount === amount && judged.size === names.length;
    return isSame && names.every((name) => judged.has(name));
  });
