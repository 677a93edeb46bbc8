/** The time that a planned run takes on this machine, and how it is found out. */
import { matmulPeak, measureTraining, type MeasuredSteps } from '../../../checks/measurement.ts';
import type { Peak } from '../../../checks/peakCache.ts';
import { ExpectedError } from '../../../errors.ts';
import { runTime, runWork, stepTimeRange, type RunTime } from '../../../training/plan/expectedTime.ts';
import { meanStep } from '../../../training/plan/stages.ts';
import type { PreparedPlan } from '../../../training/plan/preparePlan.ts';
import { timeText } from '../../../units.ts';
import { canRedraw } from '../../terminal/abilities.ts';
import { clearLive, showLive } from '../../terminal/liveLine.ts';
import { note, printWarning } from '../../terminal/output.ts';

/** What is known of the time: from the peak of matrix products, or from steps that were measured. */
export interface ExpectedTime {
  basis: 'peak' | 'steps';
  low: RunTime;
  high: RunTime;
  peak: Peak;
  measured: MeasuredSteps | null;
}

/** Measuring the peak takes two seconds; a machine that is much slower is given up on. */
const peakMs = 60_000;
/** Steps that are measured as they are vary by this share, those that are scaled up by more. */
const [measuredSpread, scaledSpread] = [0.1, 0.25];

/**
 * Null, with a warning, if this machine cannot be measured.
 * @param prepareMs how long reading the corpus took @param maxMs of measuring steps; null: the peak alone
 */
export async function expectedTime(
  { config, plan, tokenizer, validationTokens }: PreparedPlan,
  { prepareMs, maxMs, isQuiet }: { prepareMs: number; maxMs: number | null; isQuiet: boolean },
): Promise<ExpectedTime | null> {
  const work = runWork(config, plan, validationTokens);
  const timeOf = (msPerStep: number): RunTime => runTime(work, config, plan, { msPerStep, prepareMs });
  const progress = isQuiet ? undefined : openProgress(maxMs);
  try {
    const limits = { maxMs: maxMs ?? peakMs, progress: progress?.show };
    const measured = maxMs === null ? null : await measureTraining(config, tokenizer.vocabularySize, limits);
    if (measured !== null && measured.msPerStep !== null) measured.msPerStep *= meanStep(plan);
    const peak = measured?.peak ?? (await matmulPeak(config, limits));
    if (measured !== null && measured.msPerStep !== null) {
      const spread = Object.keys(measured.smaller).length === 0 ? measuredSpread : scaledSpread;
      const [low, high] = [timeOf(measured.msPerStep * (1 - spread)), timeOf(measured.msPerStep * (1 + spread))];
      return { basis: 'steps', low, high, peak, measured };
    }
    if (maxMs !== null) printWarning(`no step ended within ${timeText(maxMs)}: the time follows from the matmul peak`);
    const { lowMs, highMs } = stepTimeRange(config, plan, peak.gflops);
    return { basis: 'peak', low: timeOf(lowMs), high: timeOf(highMs), peak, measured: null };
  } catch (error) {
    if (!(error instanceof ExpectedError)) throw error;
    printWarning(`the time is not known: ${error.message}`);
    return null;
  } finally {
    progress?.close();
  }
}

/** On a terminal a line that counts the seconds; elsewhere one line at the beginning. */
function openProgress(maxMs: number | null): { show(what: string): void; close(): void } {
  const limit = maxMs === null ? '' : ` for at most ${timeText(maxMs)}`;
  const isDrawn = canRedraw(process.stderr);
  const beganMs = performance.now();
  let last: string | undefined;
  const draw = (): void => {
    const seconds = Math.round((performance.now() - beganMs) / 1000);
    if (isDrawn && last !== undefined) showLive(`measuring${limit}: ${last}, ${seconds} s`);
  };
  const timer = setInterval(draw, 500).unref();
  return {
    show: (what) => {
      if (!isDrawn && last === undefined) note(`measuring ${maxMs === null ? what : `steps${limit}`}`);
      last = what;
      draw();
    },
    close: () => {
      clearInterval(timer);
      clearLive();
    },
  };
}

/** Keys of `clm plan --json`. `msPerStep`, `tokensPerSecond` and `expectedMs` (steps alone) are there if measured. */
export function timeJson({ basis, low, high, peak, measured }: ExpectedTime, { plan }: PreparedPlan): object {
  const msPerStep = measured?.msPerStep ?? null;
  return {
    ...(msPerStep !== null && {
      msPerStep,
      tokensPerSecond: (1000 * plan.tokensPerStep) / msPerStep,
      expectedMs: msPerStep * plan.steps,
    }),
    time: {
      basis,
      lowMs: low.wholeMs,
      highMs: high.wholeMs,
      low,
      high,
      matmulGflops: peak.gflops,
      peakMeasuredAt: peak.measuredAt,
      device: peak.device,
      ...(measured !== null && { measuredSteps: measured.steps, smaller: measured.smaller }),
    },
  };
}
