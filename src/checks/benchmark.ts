/**
 * How long a training step of a config takes on its own corpus, and what share of this machine's matmul peak it
 * reaches. The peak is measured in the same run, before and after the steps, because the speed of a machine drifts.
 */
import type { Config } from '../config/schema.ts';
import { initialParameters } from '../model/parameters.ts';
import { parameterRoles } from '../model/trainedParameters.ts';
import { openSession } from '../runtime/openSession.ts';
import type { Mode } from '../runtime/session.ts';
import { median } from '../statistics.ts';
import { refuseTooLarge } from '../training/plan/plan.ts';
import type { PreparedPlan } from '../training/plan/preparePlan.ts';
import { withReference } from '../training/reference.ts';
import { lastStageConfig } from '../training/plan/stages.ts';
import { openTrainingSession } from '../training/run.ts';
import { openStepBatches } from '../training/stepBatches.ts';
import { learningRateAt } from '../training/step/schedule.ts';
import { recordTrainingStep } from '../training/step/step.ts';
import { trainingState } from '../training/step/trainingState.ts';
import { keptAs, moveIntoSession } from '../training/tensorValues.ts';
import { matmulMeter } from './matmulPeak.ts';
import { profileOf, type OperationProfile } from './profile.ts';

interface Benchmark {
  /** Median of whole steps: data, forward, backward, clip, optimizer. */
  msPerStep: number;
  tokensPerSecond: number;
  /** From the plan's FLOPs per token. */
  gflops: number;
  /** Of products of two square matrices at the same precision, in the same run. */
  matmulGflops: number;
  mode: Mode;
  precision: Config['training']['precision'];
  device: string;
  recordMs: number;
  waitingShare: number;
  /** By operation, of additional steps; only on request. */
  profile?: OperationProfile[];
}

const warmUpSteps = 3;
const profiledSteps = 5;

/** The same run as if all of it were its last stage. */
function lastStageOf({ config, plan, ...prepared }: PreparedPlan): PreparedPlan {
  const last = { ...plan.stages.at(-1)!, fromStep: 0 };
  const { tokensPerStep, flopsPerToken } = last;
  return {
    ...prepared,
    config: lastStageConfig(config),
    plan: { ...plan, stages: [last], tokensPerStep, flopsPerToken },
  };
}

/**
 * Measures the training step of a prepared config; with stages, that of the last.
 * @throws wrong input if it does not fit the machine
 */
export async function benchmark(
  run: PreparedPlan,
  { steps, mode, profile = false }: { steps: number; mode: Mode; profile?: boolean },
): Promise<Benchmark> {
  const prepared = lastStageOf(run);
  const { config, tokenizer, plan } = prepared;
  refuseTooLarge(plan);
  const { schedule, optimizer } = config;
  const { precision } = config.training;
  const { trained, frozen } = parameterRoles(config, tokenizer.vocabularySize);
  const session = openTrainingSession(config, mode);
  // with all cores for one product
  const matmulSession = openSession({ mode: 'recorded', precision, device: config.device });
  const batches = openStepBatches(prepared);
  const { microBatchSize, objective } = config.training;
  const next = async () =>
    (await batches.next()).map((each) => (objective.kind === 'dpo' ? withReference(each, microBatchSize) : each));
  try {
    const measureMatmul = await matmulMeter(matmulSession);
    await moveIntoSession(session, initialParameters(frozen, config.seed).map(keptAs(config.start.weights)));
    const parameters = initialParameters(trained, config.seed);
    await moveIntoSession(session, [...parameters, ...trainingState(config, trained, parameters)]);
    const beganMs = performance.now();
    const step = await recordTrainingStep(session, config, trained, frozen);
    const recordMs = performance.now() - beganMs;
    const matmulGflopsBefore = await measureMatmul();
    const stepMs: number[] = [];
    let waitedBeforeMs = 0;
    for (let k = 1; k <= warmUpSteps + steps; k++) {
      if (k === warmUpSteps + 1) waitedBeforeMs = batches.waitedMs();
      const startMs = performance.now();
      await step(await next(), k, learningRateAt(schedule, optimizer.learningRate, plan.steps, k - 1));
      if (k > warmUpSteps) stepMs.push(performance.now() - startMs);
    }
    const waitedMs = batches.waitedMs() - waitedBeforeMs;
    const timings = profile
      ? await session.traced(async () => {
          for (let k = 1; k <= profiledSteps; k++) await step(await next(), warmUpSteps + steps + k, 0);
        })
      : [];
    const matmulGflops = Math.max(matmulGflopsBefore, await measureMatmul());
    const msPerStep = median(stepMs);
    const tokensPerSecond = (plan.tokensPerStep / msPerStep) * 1000;
    return {
      msPerStep,
      tokensPerSecond,
      gflops: (tokensPerSecond * plan.flopsPerToken) / 1e9,
      matmulGflops,
      mode,
      precision,
      device: session.settings.device,
      recordMs,
      waitingShare: waitedMs / stepMs.reduce((sum, ms) => sum + ms, 0),
      ...(profile && { profile: profileOf(timings, profiledSteps) }),
    };
  } finally {
    await batches.close();
    session.close();
    matmulSession.close();
  }
}
