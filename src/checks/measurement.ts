/**
 * Asks a process of its own for the speed of this machine: the peak of its matrix products, and training steps of a
 * config. Loads nothing native itself.
 */
import { fork } from 'node:child_process';
import type { Config } from '../config/schema.ts';
import { constantOf } from '../config/sections/stages.ts';
import { environmentFailure } from '../errors.ts';
import { median } from '../statistics.ts';
import { parameterRoles } from '../model/trainedParameters.ts';
import { flopsPerToken } from '../training/plan/plan.ts';
import type { MeasuringMessage, MeasuringRequest } from './measuringProcess.ts';
import { lastStageConfig, microBatchTokens } from '../training/plan/stages.ts';
import { rememberedPeak, rememberPeak, type Peak } from './peakCache.ts';

export interface MeasuredSteps {
  peak: Peak;
  /** Median of a whole step of the config; null if no step ended in time. */
  msPerStep: number | null;
  /** Steps that were timed, after the first, which is slower. */
  steps: number;
  /** What was smaller in the measured steps, e.g. `training.microBatchSize` 3; empty if they are those of the run. */
  smaller: Readonly<Record<string, number>>;
}

/** Built code, even if the sources are run, e.g. by tests. */
const childFile = new URL(
  import.meta.url.endsWith('.ts') ? '../../dist/checks/measuringProcess.js' : './measuringProcess.js',
  import.meta.url,
);

/**
 * The peak of this machine's matrix products: measured in the last day, or now, which takes about two seconds.
 * @throws environmentFailure if TensorFlow is not set up or does not answer in time
 */
export async function matmulPeak(config: Config, limits: Limits = { maxMs: 60_000 }): Promise<Peak> {
  const known = rememberedPeak(config);
  if (known !== undefined) return known;
  const { peak } = await measure({ config, vocabularySize: 1, measuresPeak: true, steps: 0 }, limits);
  if (peak === undefined) throw environmentFailure('measuring matrix products took too long.');
  return peak;
}

/**
 * Median of `steps` training steps of a config in ms, after a first one, which is slower.
 * @param vocabularySize of the tokenizer
 * @throws environmentFailure if TensorFlow is not set up, or a minute is not enough
 */
export async function msOfSteps(config: Config, vocabularySize: number, steps: number): Promise<number> {
  const request = { config, vocabularySize, measuresPeak: false, steps: steps + 1 };
  const { stepMs } = await measure(request, { maxMs: 60_000 });
  if (stepMs.length < 2) throw environmentFailure('measuring the training speed took too long.');
  return median(stepMs.slice(1));
}

/** Share of the time that is planned for steps; the rest is for loading, recording, and a machine that is busy. */
const plannedShare = 0.5;
/** A step may be this much slower than at the peak. */
const slowest = 4;
const [fewestSteps, mostSteps] = [2, 200];

/**
 * Measures steps for at most `maxMs`, with smaller steps if those of the run would take too long; of a run with stages,
 * those of the last.
 * @param vocabularySize of the tokenizer
 * @throws environmentFailure if not even the peak is known by then
 */
export async function measureTraining(run: Config, vocabularySize: number, limits: Limits): Promise<MeasuredSteps> {
  const config = lastStageConfig(run);
  const beganMs = performance.now();
  const isKnown = rememberedPeak(config) !== undefined;
  const peak = await matmulPeak(config, limits);
  const leftMs = limits.maxMs - (performance.now() - beganMs);
  const plannedMs = (leftMs * plannedShare) / slowest;
  const mostFlops = (plannedMs * peak.gflops * 1e6) / (fewestSteps + 1);
  const { config: measured, smaller } = smallerSteps(config, vocabularySize, mostFlops);
  const peakMs = stepFlops(measured, vocabularySize) / peak.gflops / 1e6;
  const steps = Math.min(mostSteps, Math.max(fewestSteps, Math.floor(plannedMs / peakMs)));
  const request = { config: measured, vocabularySize, measuresPeak: isKnown, steps: steps + 1 };
  const { peak: newPeak = peak, stepMs } = await measure(request, { ...limits, maxMs: leftMs });
  const timed = stepMs.slice(1);
  const scale = stepFlops(config, vocabularySize) / stepFlops(measured, vocabularySize);
  const msPerStep = timed.length === 0 ? null : scale * median(timed);
  return { peak: newPeak, msPerStep, steps: timed.length, smaller };
}

export function stepFlops(config: Config, vocabularySize: number): number {
  const { model, training } = config;
  const tokens = constantOf(training.microBatchesPerStep) * microBatchTokens(config);
  return tokens * flopsPerToken(model, parameterRoles(config, vocabularySize));
}

/**
 * The config with steps of at most `mostFlops`, as far as that is possible: one micro-batch a step, then fewer windows,
 * then fewer layers.
 */
export function smallerSteps(
  config: Config,
  vocabularySize: number,
  mostFlops: number,
): { config: Config; smaller: Record<string, number> } {
  let { model, training } = config;
  const smaller: Record<string, number> = {};
  const excess = (): number => stepFlops({ ...config, model, training }, vocabularySize) / mostFlops;
  if (excess() > 1 && constantOf(training.microBatchesPerStep) > 1) {
    smaller['training.microBatchesPerStep'] = 1;
    training = { ...training, microBatchesPerStep: 1 };
  }
  while (excess() > 1 && training.microBatchSize > 1) {
    smaller['training.microBatchSize'] = Math.max(1, Math.floor(training.microBatchSize / Math.min(2, excess())));
    training = { ...training, microBatchSize: smaller['training.microBatchSize'] };
  }
  while (excess() > 1 && model.layers > 1) {
    smaller['model.layers'] = Math.floor(model.layers / 2);
    model = { ...model, layers: smaller['model.layers'] };
  }
  return { config: { ...config, model, training }, smaller };
}

interface Limits {
  maxMs: number;
  signal?: AbortSignal | undefined;
  /** Told what is being done. */
  progress?: ((what: string) => void) | undefined;
}

/** What the process has measured when it is done, or when the time is over and it is killed. */
async function measure(
  request: MeasuringRequest,
  { maxMs, signal, progress }: Limits,
): Promise<{ peak: Peak | undefined; stepMs: number[] }> {
  signal?.throwIfAborted();
  const child = fork(childFile, { stdio: ['ignore', 'ignore', 'ignore', 'ipc'], serialization: 'advanced' });
  const stop = (): void => void child.kill('SIGKILL');
  const timer = setTimeout(stop, Math.max(0, maxMs));
  signal?.addEventListener('abort', stop);
  let peak: Peak | undefined;
  let failure: string | undefined;
  const stepMs: number[] = [];
  child.on('message', (message: MeasuringMessage) => {
    if (message.kind === 'peak') {
      const { gflops, device } = message;
      peak = { gflops, device, measuredAt: new Date().toISOString() };
    }
    if (message.kind === 'failed') failure = message.message;
    if (message.kind === 'step') stepMs.push(message.elapsedMs);
    progress?.(progressText(message, stepMs.length, request.steps));
  });
  progress?.(request.steps === 0 ? 'matrix products' : 'loading TensorFlow');
  child.send(request, () => {}); // if it has ended already, that is seen below
  await new Promise((resolve) => child.once('exit', resolve).once('error', resolve));
  clearTimeout(timer);
  signal?.removeEventListener('abort', stop);
  signal?.throwIfAborted();
  if (failure !== undefined) throw environmentFailure(failure);
  if (peak !== undefined) await rememberPeak(request.config, peak);
  return { peak, stepMs };
}

function progressText(message: MeasuringMessage, made: number, steps: number): string {
  if (message.kind === 'step') return `step ${made} of ${steps}`;
  return message.kind === 'recorded' ? 'first step' : 'matrix products';
}
