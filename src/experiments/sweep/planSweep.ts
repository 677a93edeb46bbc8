/** Checks a sweep before its first run: every config and plan, and the FLOPs still to compute. */
import { join } from 'node:path';
import { loadConfig } from '../../config/load.ts';
import { ExpectedError, wrongInput } from '../../errors.ts';
import type { RunPlan } from '../../training/plan/plan.ts';
import { prepareTraining } from '../../training/prepare.ts';
import { summarizeRun, type RunSummary } from '../runSummary.ts';
import type { SweepRun } from './expandSweep.ts';

export interface PlannedRun extends SweepRun {
  plan: Pick<RunPlan, 'steps' | 'tokens' | 'parameters' | 'flopsPerToken'>;
  /** The state of its run directory. */
  summary: RunSummary;
  /** FLOPs still to compute; 0 for a failed run unless it is retried. */
  flopsLeft: number;
}

/**
 * Plans every run. Runs that share corpus, tokenizer and model share one plan, for which the corpus is read once.
 *
 * @throws wrongInput with the name of the run whose config is refused
 */
export async function planSweep(
  runs: readonly SweepRun[],
  { config, output, retry }: { config: string; output: string; retry: boolean },
): Promise<PlannedRun[]> {
  const plans = new Map<string, RunPlan>();
  const planned: PlannedRun[] = [];
  for (const run of runs) {
    const plan = await namingRun(run.name, async () => {
      const runConfig = loadConfig(config, { set: run.set });
      const { corpus, tokenizer, model, training } = runConfig;
      const key = JSON.stringify([corpus, tokenizer, model, training]);
      const known = plans.get(key);
      if (known !== undefined) return known;
      // A directory that does not exist: whether the run may start in its own is checked by its process.
      const located = { config: runConfig, runDirectory: join(output, '.planned'), resume: false };
      const prepared = await prepareTraining(located);
      plans.set(key, prepared.plan);
      return prepared.plan;
    });
    const summary = summarizeRun(join(output, run.name));
    const isOver = summary.state === 'done' || (summary.state === 'failed' && !retry);
    const stepsLeft = isOver ? 0 : Math.max(0, plan.steps - summary.step);
    planned.push({ ...run, plan, summary, flopsLeft: stepsLeft * plan.tokensPerStep * plan.flopsPerToken });
  }
  return planned;
}

/**
 * Mean FLOP/s of the runs that the sweep has started so far; null if none has. Runs at the same time share the cores
 * of the machine, so this hardly depends on `--jobs`.
 */
export function measuredFlops(planned: readonly PlannedRun[]): number | null {
  const speeds = planned.flatMap(({ summary, plan }) =>
    summary.tokensPerSecond === null ? [] : summary.tokensPerSecond * plan.flopsPerToken,
  );
  return speeds.length === 0 ? null : speeds.reduce((sum, each) => sum + each, 0) / speeds.length;
}

/** Puts the name of the run before the message of a wrong input. */
async function namingRun<Result>(name: string, action: () => Promise<Result>): Promise<Result> {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof ExpectedError) || error.kind !== 'wrongInput') throw error;
    throw wrongInput(`${name}: ${error.message}`, { cause: error });
  }
}
