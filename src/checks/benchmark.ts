/**
 * How long a training step of a config takes, on its own corpus, and what share of this machine's matmul
 * peak it reaches. The peak is measured in the same run, before and after, because machines drift.
 */
import { matMul, slice } from '@tensorflow/tfjs-core';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { backgroundSequence } from '../data/windows/backgroundSequence.ts';
import type { TrainingBatch } from '../data/windows/batches.ts';
import { openCorpus } from '../data/files/openCorpus.ts';
import { prepareTokenizer } from '../data/tokens/prepareTokenizer.ts';
import { median } from '../statistics.ts';
import { supplyOptions, trainingSupply } from '../data/windows/trainingSupply.ts';
import { initialParameters } from '../model/initialise.ts';
import { parameterTable } from '../model/parameters.ts';
import { openSession } from '../runtime/openSession.ts';
import type { Mode, Session } from '../runtime/session.ts';
import { branchCount } from '../training/step/branches.ts';
import { planRun, refuseTooLarge } from '../training/plan/plan.ts';
import { profileOf, type OperationProfile } from './profile.ts';
import { learningRateAt } from '../training/step/schedule.ts';
import { setVariables } from '../training/setVariables.ts';
import { recordTrainingStep } from '../training/step/step.ts';
import { trainingState } from '../training/step/trainingState.ts';

interface Benchmark {
  /** Median of whole steps: data, forward, backward, clip, optimizer. */
  msPerStep: number;
  tokensPerSecond: number;
  /** By the plan's FLOPs per token. */
  gflops: number;
  /** Products of two square matrices at the same precision, in the same run. */
  matmulGflops: number;
  mode: Mode;
  precision: Config['training']['precision'];
  device: string;
  recordMs: number;
  waitingShare: number;
  /** By operation, of further steps; only where asked for. */
  profile?: OperationProfile[];
}

const warmUpSteps = 3;
const profiledSteps = 5;

/** @throws wrong input as `clm train` would */
export async function benchmark(
  configPath: string,
  { set, steps, mode, profile = false }: { set: readonly string[]; steps: number; mode: Mode; profile?: boolean },
): Promise<Benchmark> {
  const config = loadConfig(configPath, { set });
  const { tokenizer, corpus, trainingTokens, sourceTokens } = await prepareTokenizer(
    config.tokenizer,
    await openCorpus(config.corpus),
    config.corpus,
  );
  const supply = await trainingSupply(corpus, tokenizer, supplyOptions(config), sourceTokens);
  const plan = planRun(config, { vocabularySize: tokenizer.vocabularySize, trainingTokens, supply });
  refuseTooLarge(plan);
  const table = parameterTable(config.model, tokenizer.vocabularySize);
  const { seed, model, training } = config;
  const { precision, microBatchSize, microBatchesPerStep } = training;
  const session = openSession({ mode, precision, branches: branchCount(training), device: config.device });
  // with all cores for one product
  const matmulSession = openSession({ mode: 'recorded', precision, device: config.device });
  const options = {
    seed,
    contextLength: model.contextLength,
    microBatchSize,
    shuffleTokens: config.corpus.shuffleTokens,
    tokenizingWorkers: config.corpus.workers,
  };
  const batches = backgroundSequence(corpus, tokenizer, options);
  try {
    const measureMatmul = await matmulMeter(matmulSession);
    const parameters = initialParameters(table, seed);
    await setVariables(session, [...parameters, ...trainingState(config, table, parameters)]);
    const beganMs = performance.now();
    const step = await recordTrainingStep(session, config, table);
    const recordMs = performance.now() - beganMs;
    let matmulGflops = await measureMatmul();
    const take = async () => {
      const taken: TrainingBatch[] = [];
      for (let i = 0; i < microBatchesPerStep; i++) taken.push((await batches.next()).value as TrainingBatch);
      return taken;
    };
    const stepMs: number[] = [];
    let waitedMs = 0;
    let upcoming = take();
    for (let k = 1; k <= warmUpSteps + steps; k++) {
      const startMs = performance.now();
      const microBatches = await upcoming;
      const readyMs = performance.now();
      const update = step(
        microBatches,
        k,
        learningRateAt(config.schedule, config.optimizer.learningRate, plan.steps, k - 1),
      );
      upcoming = take();
      await update;
      if (k <= warmUpSteps) continue;
      stepMs.push(performance.now() - startMs);
      waitedMs += readyMs - startMs;
    }
    await upcoming;
    const timings = profile
      ? await session.traced(async () => {
          for (let k = 1; k <= profiledSteps; k++) await step(await take(), warmUpSteps + steps + k, 0);
        })
      : [];
    matmulGflops = Math.max(matmulGflops, await measureMatmul());
    const msPerStep = median(stepMs);
    const tokensPerSecond = (plan.tokensPerStep / msPerStep) * 1000;
    return {
      msPerStep,
      tokensPerSecond,
      gflops: (tokensPerSecond * plan.flopsPerToken) / 1e9,
      matmulGflops,
      mode,
      precision,
      device: session.device,
      recordMs,
      waitingShare: waitedMs / stepMs.reduce((sum, ms) => sum + ms, 0),
      ...(profile && { profile: profileOf(timings, profiledSteps) }),
    };
  } finally {
    await batches.return();
    session.close();
    matmulSession.close();
  }
}

/**
 * Measures n×n products of two sizes and takes the faster size. Medians, as for the steps: a machine that
 * bursts would otherwise be held to a speed it does not keep. Only one number of each result is fetched.
 */
export async function matmulMeter(session: Session): Promise<() => Promise<number>> {
  const meters: (() => Promise<number>)[] = [];
  for (const n of [768, 1536]) {
    const values = new Float32Array(n * n).map((_, i) => ((i % 17) - 8) / 8);
    await session.addVariables([{ name: `matmulPeak${n}`, shape: [n, n], values }]);
    const program = session.program(`matmulPeak${n}`, {}, (_, variables) => {
      const x = variables.read(`matmulPeak${n}`);
      return { corner: slice(matMul(x, x), [0, 0], [1, 1]) };
    });
    await program.run({});
    meters.push(async () => {
      const productMs: number[] = [];
      for (let i = 0; i < 9; i++) {
        const startMs = performance.now();
        await program.run({});
        productMs.push(performance.now() - startMs);
      }
      return (2 * n ** 3) / median(productMs) / 1e6;
    });
  }
  return async () => {
    let best = 0;
    for (const meter of meters) best = Math.max(best, await meter());
    return best;
  };
}
