/**
 * `--max-time` with a config that sets no length: the time sets it. A few steps are measured, and `training.steps`
 * becomes the number that fits. From then on the run is like any other: its schedule is that of these steps, they are
 * in its config.yaml, and a resume continues with them, exactly.
 */
import { meanStep } from '../../../training/plan/stages.ts';
import { existsSync } from 'node:fs';
import { measureTraining } from '../../../checks/measurement.ts';
import { parseResolvedConfig, setsLength } from '../../../config/load.ts';
import type { Config } from '../../../config/schema.ts';
import { wrongInput } from '../../../errors.ts';
import { assertFreshStart } from '../../../run/runDirectory.ts';
import { runPaths } from '../../../run/runPaths.ts';
import { readBounded } from '../../../storage/boundedFile.ts';
import { runTime, runWork, stepTimeRange } from '../../../training/plan/expectedTime.ts';
import { preparePlan, type PreparedPlan } from '../../../training/plan/preparePlan.ts';
import { findConfig, type TrainingRequest } from '../../../training/prepare.ts';
import { savingTakesMs } from '../../../training/timeLimit.ts';
import { timeText } from '../../../units.ts';
import { grouped } from '../../terminal/output.ts';

/** Share of the time that is planned for: machines become slower, and a stop before the last step is to be rare. */
const plannedShare = 0.95;

/** Steps are measured for a tenth of the time, but not longer than this. */
const mostMeasuringMs = 20_000;

/**
 * The override that sets the length, e.g. `training.steps=4100`; undefined if the config sets it itself.
 *
 * @param maxMs counted from the start of the process
 * @param say told of the length, and why it is that
 * @throws what `trainRun` throws for a config or run directory that is refused; wrongInput if not one step fits
 */
export async function lengthWithin(
  maxMs: number,
  request: TrainingRequest,
  say: (message: string) => void,
): Promise<string | undefined> {
  if (request.config === undefined || setsLength(request.config, request.set)) return undefined;
  const { config, runDirectory } = findConfig(request);
  const former = runPaths(runDirectory).config;
  if (request.resume && existsSync(former))
    return lengthOf(parseResolvedConfig(readBounded(former).toString(), former));
  await assertFreshStart(runDirectory);
  const beganMs = performance.now();
  const prepared = await preparePlan(config);
  const prepareMs = performance.now() - beganMs;
  const limits = { maxMs: Math.min(mostMeasuringMs, Math.max(5000, maxMs / 10)) };
  const { msPerStep: measuredMs, peak } = await measureTraining(config, prepared.tokenizer.vocabularySize, limits);
  const msPerStep =
    measuredMs !== null
      ? measuredMs * meanStep(prepared.plan)
      : stepTimeRange(config, prepared.plan, peak.gflops).highMs;
  const leftMs = maxMs - performance.now() - savingTakesMs(prepared.plan.parameters);
  const steps = stepsWithin(leftMs, prepared, { msPerStep, prepareMs });
  if (steps < 1) {
    throw wrongInput(
      `--max-time is too short: no step fits after reading the text and measuring (${timeText(performance.now())} so ` +
        'far). Give more time, or set training.steps.',
    );
  }
  const basis = measuredMs === null ? 'by the speed of matrix products' : 'as measured';
  say(
    `--max-time sets the length: ${grouped(steps)} steps, at ${msPerStep.toFixed(1)} ms per step ${basis}, with the ` +
      'evaluations and samples between them',
  );
  return `training.steps=${steps}`;
}

/** The one length that a complete config has, as an override. */
function lengthOf({ training }: Config): string {
  const key = (['steps', 'tokens', 'epochs'] as const).find((name) => training[name] !== null)!;
  return `training.${key}=${training[key]}`;
}

/** The most steps of a run that ends within a share of `leftMs`, with its start, evaluations, samples and saves. */
export function stepsWithin(
  leftMs: number,
  { config, plan, validationTokens }: Pick<PreparedPlan, 'config' | 'validationTokens'> & { plan: TimedPlan },
  speed: { msPerStep: number; prepareMs: number },
): number {
  const fits = (steps: number): boolean => {
    const work = runWork(config, { ...plan, steps }, validationTokens);
    return runTime(work, config, { ...plan, steps }, speed).wholeMs <= plannedShare * leftMs;
  };
  let [most, tooMany] = [0, 1];
  while (fits(tooMany)) [most, tooMany] = [tooMany, 2 * tooMany];
  while (tooMany - most > 1) {
    const middle = Math.floor((most + tooMany) / 2);
    if (fits(middle)) most = middle;
    else tooMany = middle;
  }
  return most;
}

type TimedPlan = Pick<PreparedPlan['plan'], 'tokensPerStep' | 'flopsPerToken' | 'parameters'>;
