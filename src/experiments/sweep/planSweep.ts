/** Checks a sweep before its first run: every config and plan, and the work still to be done. */
import { existsSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { loadConfig, parseResolvedConfig } from '../../config/load.ts';
import { changedSettings } from '../../config/resolved.ts';
import type { Config } from '../../config/schema.ts';
import { ExpectedError, wrongInput } from '../../errors.ts';
import { otherConfigOf } from '../../run/configFile.ts';
import { runPaths } from '../../run/runPaths.ts';
import { readBounded } from '../../storage/boundedFile.ts';
import { runWork, type RunWork } from '../../training/plan/expectedTime.ts';
import type { RunPlan } from '../../training/plan/plan.ts';
import { planWarnings, repetitionWarning } from '../../training/plan/planWarnings.ts';
import { prepareTraining, type PreparedTraining } from '../../training/prepare.ts';
import { summarizeRun, type RunSummary } from '../runSummary.ts';
import type { SweepRun } from './expandSweep.ts';

export interface PlannedRun extends SweepRun {
  config: Config;
  plan: Pick<RunPlan, 'steps' | 'tokens' | 'tokensPerStep' | 'parameters' | 'flopsPerToken' | 'stages'>;
  /** Of the tokenizer. */
  vocabularySize: number;
  /** The state of its run directory. */
  summary: RunSummary;
  /** What is still to be done; nothing for a failed run unless it is retried. */
  work: RunWork;
  /** How long reading and tokenizing its corpus took. */
  prepareMs: number;
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
  const plans = new Map<string, KnownPlan>();
  const corpora = new Set<string>();
  const planned: PlannedRun[] = [];
  for (const run of runs) {
    const { config, known, warnings, changedCheckpoints } = await namingRun(run.name, async () => {
      const config = loadConfig(options.config, { set: run.set });
      const changedCheckpoints = refuseOtherRun(join(output, run.name), options.config, config);
      const { corpus, tokenizer, model, training } = config;
      const key = JSON.stringify([corpus, tokenizer, model, training]);
      const before = plans.get(key);
      if (before !== undefined)
        return { config, known: before, warnings: warningsOf(config, before.plan), changedCheckpoints };
      // A directory that does not exist: whether the run may start in its own is checked by its process.
      const located = {
        config,
        runDirectory: join(output, '.planned'),
        resume: false,
        asked: { configPath: options.config, set: run.set },
      };
      const beganMs = performance.now();
      const prepared = await prepareTraining(located);
      const known = {
        plan: prepared.plan,
        vocabularySize: prepared.tokenizer.vocabularySize,
        validationTokens: prepared.manifest.validationTokens,
        prepareMs: performance.now() - beganMs,
      };
      plans.set(key, known);
      const text = JSON.stringify([corpus, tokenizer.path]);
      if (!corpora.has(text)) options.opened(prepared);
      corpora.add(text);
      return { config, known, warnings: prepared.warnings, changedCheckpoints };
    });
    const { plan, vocabularySize, prepareMs, validationTokens } = known;
    const summary = summarizeRun(join(output, run.name));
    const isDone = isOver(summary, plan.steps, retry);
    const work = runWork(config, plan, validationTokens, isDone ? plan.steps : summary.step);
    if (isDone && changedCheckpoints.length > 0)
      warnings.push(
        `the run was trained with another ${changedCheckpoints.join(', ')}: the checkpoints it has stay as they are`,
      );
    planned.push({ ...run, config, plan, vocabularySize, prepareMs, warnings, summary, work });
  }
  refuseLongerRuns(planned);
  return planned;
}

/** Whether a run is not to be trained (further): one that was done may have got more steps since. */
export const isOver = ({ state, reason, step }: RunSummary, steps: number, retry: boolean): boolean =>
  (state === 'done' && (reason !== null || step >= steps)) || (state === 'failed' && !retry);

const ownFolder = 'Give this sweep a folder of its own with --output, or another name.';

/**
 * Two sweeps of one name, or one that was changed, would take each other's runs for their own.
 * @returns the keys of `checkpoints` that differ: the results do not depend on them
 * @throws wrongInput if the directory has a run that this config did not make
 */
function refuseOtherRun(runDirectory: string, configPath: string, config: Config): string[] {
  const file = runPaths(runDirectory).config;
  if (!existsSync(file)) return [];
  const other = otherConfigOf(runDirectory, configPath);
  const former = parseResolvedConfig(readBounded(file).toString('utf8'), file);
  // Paths may have moved with their project; the corpus itself is checked when the run is continued.
  const { results, checkpoints } = changedSettings(former, config);
  if (other === undefined && results.length === 0) return checkpoints;
  const reason = other === undefined ? `with another ${results.join(', ')}` : `from ${other}, not ${configPath}`;
  throw wrongInput(`${relative(process.cwd(), runDirectory)} has a run that was made ${reason}. ${ownFolder}`);
}

/**
 * A shorter run is continued. A longer one, because the sweep has been shortened or the run extended by hand, had
 * another learning rate at each step than this sweep asks for.
 * @throws wrongInput with the names of the runs
 */
function refuseLongerRuns(planned: readonly PlannedRun[]): void {
  const lengthOf = ({ summary }: PlannedRun): number => Math.max(summary.step, summary.steps ?? 0);
  const longer = planned.filter((run) => lengthOf(run) > run.plan.steps);
  if (longer.length === 0) return;
  const named = longer.map((run) => `  ${run.name}: ${lengthOf(run)} steps, not ${run.plan.steps}`);
  throw wrongInput(
    `${relative(process.cwd(), dirname(longer[0]!.summary.path))} has runs that are longer than this sweep asks ` +
      `for:\n${named.join('\n')}\n${ownFolder} Runs that are shorter than it asks for are continued.`,
  );
}

/** The plan of a config, and what else was learnt from reading its corpus. */
interface KnownPlan {
  plan: RunPlan;
  vocabularySize: number;
  validationTokens: number;
  prepareMs: number;
}

const warningsOf = (config: Config, plan: RunPlan): string[] => [
  ...planWarnings(config, plan.steps),
  ...[repetitionWarning(config, plan.epochs)].filter((warning) => warning !== undefined),
];

/** Puts the name of the run before the message of a wrong input. */
async function namingRun<Result>(name: string, action: () => Promise<Result>): Promise<Result> {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof ExpectedError) || error.kind !== 'wrongInput') throw error;
    throw wrongInput(`${name}: ${error.message}`, { cause: error });
  }
}
