/** What a sweep will do, checked before its first run: every config, every plan, and the time all of it takes. */
import { join } from 'node:path';
import { loadConfig } from '../../config/load.ts';
import { ExpectedError, wrongInput } from '../../errors.ts';
import type { RunPlan } from '../../training/plan/plan.ts';
import { prepareTraining } from '../../training/prepare.ts';
import { summarizeRun, type RunSummary } from '../runSummary.ts';
import type { SweepRun } from './expandSweep.ts';

export interface PlannedRun extends SweepRun {
  plan: Pick<RunPlan, 'steps' | 'tokens' | 'parameters' | 'flopsPerToken'>;
  /** What its directory holds already. */
  summary: RunSummary;
  /** FLOPs that are still to be done; of a run that failed only where it is to be made again. */
  flopsLeft: number;
}

/**
 * Plans every run; the corpus is read once for all that share it.
 * @throws wrongInput with the name of the run whose config is refused
 */
export async function planSweep(
  runs: readonly SweepRun[],
  { config, output, retry }: { config: string; output: string; retry: boolean },
): Promise<PlannedRun[]> {
  const plans = new Map<string, RunPlan>();
  const planned: PlannedRun[] = [];
  for (const run of runs) {
    const { corpus, tokenizer, model, training } = refusedAs(run.name, () => loadConfig(config, { set: run.set }));
    const key = JSON.stringify([corpus, tokenizer, model, training]);
    let plan = plans.get(key);
    if (plan === undefined) {
      // A directory that does not exist: whether the run may start in its own is for its process to say.
      const request = { configPath: config, runDirectory: join(output, '.planned'), set: run.set, resume: false };
      plan = await prepareTraining(request).then(
        ({ plan: made }) => made,
        (error: unknown) => refused(run.name, error),
      );
      plans.set(key, plan);
    }
    const summary = summarizeRun(join(output, run.name));
    const isOver = summary.state === 'done' || (summary.state === 'failed' && !retry);
    const stepsLeft = isOver ? 0 : Math.max(0, plan.steps - summary.step);
    planned.push({ ...run, plan, summary, flopsLeft: stepsLeft * plan.tokensPerStep * plan.flopsPerToken });
  }
  return planned;
}

/**
 * FLOP/s that the runs of the sweep made so far, from their tokens per second; null where none has run. All runs on a
 * machine share its cores, so `--jobs` changes little.
 */
export function measuredFlops(planned: readonly PlannedRun[]): number | null {
  const speeds = planned.flatMap(({ summary, plan }) =>
    summary.tokensPerSecond === null ? [] : summary.tokensPerSecond * plan.flopsPerToken,
  );
  return speeds.length === 0 ? null : speeds.reduce((sum, each) => sum + each, 0) / speeds.length;
}

function refusedAs<Result>(name: string, action: () => Result): Result {
  try {
    return action();
  } catch (error) {
    return refused(name, error);
  }
}

function refused(name: string, error: unknown): never {
  if (error instanceof ExpectedError && error.kind === 'wrongInput')
    throw wrongInput(`${name}: ${error.message}`, { cause: error });
  throw error;
}
