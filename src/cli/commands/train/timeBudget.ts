/**
 * `--max-time` with a config that sets no length: the time sets it. A few steps are measured, and `training.steps`
 * becomes the number that fits. From then on the run is like any other: its schedule is that of these steps, they are
 * in its config.yaml, and a resume continues with them, exactly.
 */
import { existsSync } from 'node:fs';
import { parseResolvedConfig, setsLength } from '../../../config/load.ts';
import type { Config } from '../../../config/schema.ts';
import { wrongInput } from '../../../errors.ts';
import { assertFreshStart } from '../../../run/runDirectory.ts';
import { runPaths } from '../../../run/runPaths.ts';
import type { Mode } from '../../../runtime/session.ts';
import { readBounded } from '../../../storage/boundedFile.ts';
import { findConfig, type TrainingRequest } from '../../../training/prepare.ts';
import { preparePlan } from '../../../training/plan/preparePlan.ts';
import { savingTakesMs } from '../../../training/timeLimit.ts';
import { duration, grouped } from '../../terminal/output.ts';

const measuredSteps = 10;

/** Share of the time that is planned for: machines become slower, and a stop before the last step is to be rare. */
const plannedShare = 0.95;

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
  mode: Mode,
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
  const preparingMs = performance.now() - beganMs;
  const { benchmark } = await import('../../../checks/benchmark.ts'); // the first that loads TensorFlow
  const { msPerStep, recordMs } = await benchmark(prepared, { steps: measuredSteps, mode });
  const { plan, validationTokens } = prepared;
  const leftMs = maxMs - performance.now() - preparingMs - recordMs - savingTakesMs(plan.parameters);
  const steps = stepsWithin(leftMs, { ...plan, msPerStep, validationTokens, config });
  if (steps < 1) {
    throw wrongInput(
      `--max-time is too short: no step fits after reading the text and measuring (${duration(performance.now())} so ` +
        'far). Give more time, or set training.steps.',
    );
  }
  say(
    `--max-time sets the length: ${grouped(steps)} steps, at ${msPerStep.toFixed(1)} ms per step as measured, with ` +
      'the evaluations and samples between them',
  );
  return `training.steps=${steps}`;
}

/** The one length that a complete config has, as an override. */
function lengthOf({ training }: Config): string {
  const key = (['steps', 'tokens', 'epochs'] as const).find((name) => training[name] !== null)!;
  return `training.${key}=${training[key]}`;
}

interface Costs {
  msPerStep: number;
  tokensPerStep: number;
  parameters: number;
  validationTokens: number;
  config: Pick<Config, 'evaluation' | 'samples'>;
}

/**
 * The number of steps, with evaluations and samples at their intervals, that a share of `leftMs` has room for.
 * An evaluation is a forward pass, about 0.4 of a step for as many tokens. A token of a sample reads every weight once,
 * at 10 GB/s, and takes 1 ms besides.
 */
export function stepsWithin(leftMs: number, costs: Costs): number {
  const { msPerStep, tokensPerStep, parameters, validationTokens, config } = costs;
  const evaluationMs = (0.4 * msPerStep * validationTokens) / tokensPerStep;
  const sampleMs = config.samples.maxTokens * (1 + (4 * parameters) / 1e7);
  const share = (ms: number, everySteps: number | null): number => (everySteps === null ? 0 : ms / everySteps);
  const { evaluation, samples } = config;
  const stepMs = msPerStep + share(evaluationMs, evaluation.everySteps) + share(sampleMs, samples.everySteps);
  return Math.floor((plannedShare * leftMs - 2 * evaluationMs) / stepMs); // evaluations at the beginning and the end
}
