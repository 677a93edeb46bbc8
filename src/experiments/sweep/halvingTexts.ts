/** Successive halving in words, and what is refused of it. */
import { wrongInput } from '../../errors.ts';
import { warmupOf } from '../../training/step/schedule.ts';
import { listed } from '../comparison/texts.ts';
import { isBeforeEnd, plannedRungs, rungText, settingCount, stepAt } from './halving.ts';
import type { HalvedRun, HalvingEvent, Rung } from './halving.ts';
import type { PlannedRun } from './planSweep.ts';
import type { Halving } from './sweepFile.ts';

/** `9 settings to 200 steps, 3 to 600 steps, 1 to the end`; of rungs of time the number is not known before. */
export function halvingText(halving: Halving, runs: readonly HalvedRun[]): string {
  const { rungs, settingsToTheEnd } = plannedRungs(halving, runs);
  const parts = rungs.map(({ rung, settings }, i) => `${settings}${i === 0 ? ' settings' : ''} to ${rungText(rung)}`);
  return [...parts, `${settingsToTheEnd} to the end`].join(', ');
}

/** `halving at 200 steps: 1 of 3 settings goes on (rate-0.01); stopped: rate-0.1 and rate-0.001`. */
export function halvingEventText(event: HalvingEvent, runs: readonly HalvedRun[]): string {
  const { kept, dropped } = event;
  const count = (names: readonly string[]): number => settingCount(runs.filter(({ name }) => names.includes(name)));
  const goes = count(kept) === 1 ? 'goes' : 'go';
  return (
    `halving at ${rungText(event)}: ${count(kept)} of ${count([...kept, ...dropped])} settings ${goes} on ` +
    `(${listed(kept)}); stopped: ${listed(dropped)}`
  );
}

/**
 * @returns a warning if the first rung tells little, or undefined
 * @throws wrongInput if there is nothing to decide, or no rung before the end
 */
export function checkHalving(halving: Halving, runs: readonly PlannedRun[]): string | undefined {
  if (settingCount(runs) < 2)
    throw wrongInput('halving needs at least two settings that differ in more than their seed');
  if (!isBeforeEnd({ ...halving, amount: halving.from }, runs)) {
    const from = rungText({ ...halving, amount: halving.from });
    throw wrongInput(`halving.from is ${from}, but no run of the sweep is longer; choose an amount below its length`);
  }
  return withinWarmup({ ...halving, amount: halving.from }, runs);
}

function withinWarmup(first: Rung, runs: readonly PlannedRun[]): string | undefined {
  const early = runs.filter(
    ({ config, plan }) => (stepAt(first, plan) ?? Infinity) <= warmupOf(config.schedule, plan.steps),
  );
  if (early.length === 0) return undefined;
  return (
    `the first rung of halving, ${rungText(first)}, is within the warm-up of the learning rate in ${early.length} of ` +
    `${runs.length} runs: losses there tell little. Raise halving.from, or lower schedule.warmupSteps`
  );
}
