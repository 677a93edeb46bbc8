/** Checks a sweep before its first run: every config and plan, and the FLOPs still to compute. */
import { existsSync } from 'node:fs';
import { join, relative } from 'node:path';
import { loadConfig, parseResolvedConfig } from '../../config/load.ts';
import { resumeDifferences } from '../../config/resolved.ts';
import type { Config } from '../../config/schema.ts';
import { ExpectedError, wrongInput } from '../../errors.ts';
import { otherConfigOf } from '../../run/configFile.ts';
import { runPaths } from '../../run/runPaths.ts';
import { readBounded } from '../../storage/boundedFile.ts';
import type { RunPlan } from '../../training/plan/plan.ts';
import { planWarnings } from '../../training/plan/planWarnings.ts';
import { prepareTraining, type PreparedTraining } from '../../training/prepare.ts';
import { summarizeRun, type RunSummary } from '../runSummary.ts';
import type { SweepRun } from './expandSweep.ts';

export interface PlannedRun extends SweepRun {
  plan: Pick<RunPlan, 'steps' | 'tokens' | 'parameters' | 'flopsPerToken'>;
  /** The state of its run directory. */
  summary: RunSummary;
  /** FLOPs still to compute; 0 for a failed run unless it is retried. */
  flopsLeft: number;
  /** What is probably not meant in its config. */
  warnings: string[];
}

/**
 * Plans every run. Runs that share corpus, tokenizer and model share one plan, for which the corpus is read once.
 *
 * @param options.opened is called with each different corpus
 * @throws wrongInput with the name of the run whose config is refused
 */
export async function planSweep(
  runs: readonly SweepRun[],
  options: {
    config: string;
    output: string;
    retry: boolean;
    opened: (prepared: Pick<PreparedTraining, 'corpus' | 'manifest' | 'tokenizer'>) => void;
  },
): Promise<PlannedRun[]> {
  const { output, retry } = options;
  const plans = new Map<string, RunPlan>();
  const corpora = new Set<string>();
  const planned: PlannedRun[] = [];
  for (const run of runs) {
    const { plan, warnings } = await namingRun(run.name, async () => {
      const runConfig = loadConfig(options.config, { set: run.set });
      refuseOtherRun(join(output, run.name), options.config, runConfig);
      const { corpus, tokenizer, model, training } = runConfig;
      const key = JSON.stringify([corpus, tokenizer, model, training]);
      const known = plans.get(key);
      if (known !== undefined) return { plan: known, warnings: planWarnings(runConfig, known.steps) };
      // A directory that does not exist: whether the run may start in its own is checked by its process.
      const located = {
        config: runConfig,
        runDirectory: join(output, '.planned'),
        resume: false,
        asked: { configPath: options.config, set: run.set },
      };
      const prepared = await prepareTraining(located);
      plans.set(key, prepared.plan);
      const text = JSON.stringify([corpus, tokenizer.path]);
      if (!corpora.has(text)) options.opened(prepared);
      corpora.add(text);
      return prepared;
    });
    const summary = summarizeRun(join(output, run.name));
    const stepsLeft = isOver(summary, plan.steps, retry) ? 0 : Math.max(0, plan.steps - summary.step);
    planned.push({ ...run, plan, warnings, summary, flopsLeft: stepsLeft * plan.tokensPerStep * plan.flopsPerToken });
  }
  return planned;
}

/** Whether a run is not to be trained (further): one that was done may have got more steps since. */
export const isOver = ({ state, reason, step }: RunSummary, steps: number, retry: boolean): boolean =>
  (state === 'done' && (reason !== null || step >= steps)) || (state === 'failed' && !retry);

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

/**
 * Two sweeps of one name, or one whose base config was changed, would take each other's runs for their own.
 * @throws wrongInput if the directory has a run that this config did not make
 */
function refuseOtherRun(runDirectory: string, configPath: string, config: Config): void {
  const file = runPaths(runDirectory).config;
  if (!existsSync(file)) return;
  const other = otherConfigOf(runDirectory, configPath);
  const former = parseResolvedConfig(readBounded(file).toString('utf8'), file);
  // Paths may have moved with their project; the corpus itself is checked when the run is continued.
  const differences = resumeDifferences(former, config, { ignorePaths: true }).filter((key) => key !== 'device');
  if (other === undefined && differences.length === 0) return;
  const reason = other === undefined ? `with another ${differences.join(', ')}` : `from ${other}, not ${configPath}`;
  throw wrongInput(
    `${relative(process.cwd(), runDirectory)} has a run that was made ${reason}. Give this sweep a folder of its own ` +
      'with --output, or another name.',
  );
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
