/**
 * How long a run takes: from the time of a step, or from the matmul peak of the machine. Everything besides the steps
 * is estimated from the size of the model; what weighs is the validation text.
 */
import type { Config } from '../../config/schema.ts';
import type { RunPlan } from './plan.ts';
import { microBatchTokens } from './stages.ts';

type TimedConfig = Pick<Config, 'model' | 'training' | 'evaluation' | 'checkpoints' | 'samples'>;
type TimedPlan = Pick<RunPlan, 'steps' | 'tokensPerStep' | 'flopsPerToken' | 'parameters'>;

/** What happens in a run besides its steps, in numbers. */
export interface RunWork {
  steps: number;
  evaluations: number;
  /** Steps that take as long as one evaluation. */
  evaluationSteps: number;
  samples: number;
  checkpoints: number;
}

export interface RunTime {
  /** Start of the process, reading the corpus, recording the programs. */
  startMs: number;
  stepsMs: number;
  evaluationsMs: number;
  samplesMs: number;
  checkpointsMs: number;
  wholeMs: number;
}

/** Forward only, of three products of a step; and the loss of every token: 0.38 of a step, measured on two cores. */
const evaluationShare = 0.38;

/** @param made updates that have been made already */
export function runWork(config: TimedConfig, plan: TimedPlan, validationTokens: number, made = 0): RunWork {
  const steps = Math.max(0, plan.steps - made);
  /** Steps after `made` and before the last at which something is due. */
  const due = (everySteps: number | null): number =>
    everySteps === null || steps === 0 ? 0 : Math.floor((plan.steps - 1) / everySteps) - Math.floor(made / everySteps);
  const isRun = steps > 0 ? 1 : 0;
  return {
    steps,
    evaluations: due(config.evaluation.everySteps) + isRun + (made === 0 ? isRun : 0), // at the end, and at step 0
    evaluationSteps: (evaluationShare * validationTokens) / plan.tokensPerStep,
    samples: due(config.samples.everySteps) + (config.samples.everySteps === null ? 0 : isRun),
    checkpoints: due(config.checkpoints.everySteps) + isRun,
  };
}

/** Node.js, TensorFlow, a session: measured on two cores. */
const processMs = 2200;
/** Recording the programs of one layer, forward and backward. */
const layerRecordingMs = 15;
/** Checkpoints are written while training goes on; this is what the copy takes from it, and the last one as a whole. */
const [checkpointMs, bytesPerMs] = [30, 200_000];
/** Recording the programs of the first sample. */
const sampleRecordingMs = 300;
/** A token of a sample: a pass over all weights, which is bound by memory, and the operations of each layer. */
const [weightBytesPerMs, layerTokenMs] = [8e6, 0.12];

/**
 * @param msPerStep of training
 * @param prepareMs how long reading and tokenizing the corpus takes
 */
export function runTime(
  work: RunWork,
  { model, samples }: TimedConfig,
  { parameters }: TimedPlan,
  { msPerStep, prepareMs }: { msPerStep: number; prepareMs: number },
): RunTime {
  const stateBytes = 12 * parameters; // weights and two moments
  const tokenMs = (4 * parameters) / weightBytesPerMs + layerTokenMs * model.layers;
  const parts = {
    startMs: work.steps === 0 ? 0 : processMs + prepareMs + layerRecordingMs * model.layers,
    stepsMs: work.steps * msPerStep,
    evaluationsMs: work.evaluations * work.evaluationSteps * msPerStep,
    samplesMs: work.samples * samples.maxTokens * tokenMs + (work.samples > 0 ? sampleRecordingMs : 0),
    checkpointsMs: work.checkpoints * checkpointMs + (work.checkpoints > 0 ? stateBytes / bytesPerMs : 0),
  };
  return { ...parts, wholeMs: Object.values(parts).reduce((sum, ms) => sum + ms, 0) };
}

/**
 * The share of the matmul peak that training steps reach: a third for narrow models, nine tenths for wide ones, on the
 * machines of docs/measurements.md. The range is wider on both sides, because the speed of a machine drifts between
 * the two measurements: a peak of one second was seen at 141 to 273 GFLOP/s within minutes.
 */
const [leastShare, mostShare] = [0.25, 1.3];
/** What a micro-batch takes besides its FLOPs, and each layer of it: handing many small operations to threads. */
const [leastOverheadMs, mostOverheadMs] = [0.1, 1];
const [leastLayerMs, mostLayerMs] = [0.05, 0.6];

/** The shortest and the longest time of a step that a matmul peak lets expect. */
export function stepTimeRange(
  { model, training, optimizer }: Pick<Config, 'model' | 'training' | 'optimizer'>,
  { tokensPerStep, flopsPerToken, parameters }: TimedPlan,
  peakGflops: number,
): { lowMs: number; highMs: number } {
  // The second forward pass of `recompute`; Muon's orthogonalisation, on a GPU thirteen products of each matrix.
  const recomputed = training.recompute === null ? 1 : 4 / 3;
  const muonFlops = optimizer.kind === 'muon' ? 26 * parameters * model.width : 0;
  const peakMs = (recomputed * tokensPerStep * flopsPerToken + muonFlops) / (peakGflops * 1e6);
  const overhead = (fixedMs: number, layerMs: number): number =>
    (tokensPerStep / microBatchTokens({ model, training })) * (fixedMs + layerMs * model.layers);
  return {
    lowMs: (tokensPerStep * flopsPerToken) / (peakGflops * 1e6) / mostShare + overhead(leastOverheadMs, leastLayerMs),
    highMs: peakMs / leastShare + overhead(mostOverheadMs, mostLayerMs),
  };
}
