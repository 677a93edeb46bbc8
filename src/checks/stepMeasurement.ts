/**
 * Measures training steps of a config on random tokens: how long a step takes does not depend on the text. Runs in the
 * measuring process; loads TensorFlow.
 */
import type { Config } from '../config/schema.ts';
import { constantOf } from '../config/sections/stages.ts';
import type { ParameterSpec } from '../model/parameters.ts';
import { parameterRoles } from '../model/trainedParameters.ts';
import { openSession } from '../runtime/openSession.ts';
import type { NamedTensor } from '../tensors/tensors.ts';
import { elementCount } from '../tensors/tensors.ts';
import { withReference } from '../training/reference.ts';
import { openTrainingSession } from '../training/run.ts';
import type { ScoredMicroBatch } from '../training/step/microBatchLoss.ts';
import { recordTrainingStep } from '../training/step/step.ts';
import { trainingState } from '../training/step/trainingState.ts';
import { keptAs, moveIntoSession } from '../training/tensorValues.ts';
import { microBatchRows } from '../training/step/branches.ts';
import { matmulMeter } from './matmulPeak.ts';

export type MeasuringEvent =
  | { kind: 'peak'; gflops: number; device: string }
  | { kind: 'recorded' }
  | { kind: 'step'; elapsedMs: number };

/** GFLOP/s of matrix products, in about a second. */
export async function measurePeak(
  { training: { precision }, device }: Pick<Config, 'training' | 'device'>,
  report: (event: MeasuringEvent) => void,
): Promise<void> {
  const session = openSession({ mode: 'recorded', precision, device });
  try {
    const measure = await matmulMeter(session, 1000);
    report({ kind: 'peak', gflops: await measure(), device: session.settings.device });
  } finally {
    session.close();
  }
}

/** Makes `steps` steps and reports each. @param vocabularySize of the tokenizer */
export async function measureSteps(
  config: Config,
  { vocabularySize, steps }: { vocabularySize: number; steps: number },
  report: (event: MeasuringEvent) => void,
): Promise<void> {
  const { trained, frozen } = parameterRoles(config, vocabularySize);
  const session = openTrainingSession(config, 'recorded');
  try {
    await moveIntoSession(session, frozen.map(cheapParameter).map(keptAs(config.start.weights)));
    const parameters = trained.map(cheapParameter);
    await moveIntoSession(session, [...parameters, ...trainingState(config, trained, parameters)]);
    const step = await recordTrainingStep(session, config, trained, frozen);
    report({ kind: 'recorded' });
    const microBatch = anyMicroBatch(config, vocabularySize);
    const microBatches = Array.from({ length: constantOf(config.training.microBatchesPerStep) }, () => microBatch);
    for (let k = 1; k <= steps; k++) {
      const startMs = performance.now();
      await step(microBatches, k, 1e-6);
      report({ kind: 'step', elapsedMs: performance.now() - startMs });
    }
  } finally {
    session.close();
  }
}

/** Values of the usual size that are made faster than random ones. */
function cheapParameter({ name, shape, initial }: ParameterSpec): NamedTensor {
  const values = new Float32Array(elementCount(shape));
  if (initial.kind === 'constant') values.fill(initial.value);
  if (initial.kind === 'normal')
    for (let i = 0; i < values.length; i++) values[i] = (((i * 7919) % 1013) / 506 - 1) * initial.deviation;
  return { name, shape, values };
}

/** Tokens of every kind, each a target; whole windows of one document if documents are packed. */
function anyMicroBatch({ model, training, corpus }: Config, vocabularySize: number): ScoredMicroBatch {
  const { contextLength } = model;
  const size = microBatchRows(training) * contextLength;
  const { microBatchSize, objective } = training;
  const tokens = Int32Array.from({ length: size + 1 }, (_, i) => (i * 7919) % vocabularySize);
  const batch = {
    inputs: tokens.slice(0, size),
    targets: tokens.slice(1),
    lossMask: new Float32Array(size).fill(1),
    ...(corpus.packing === 'documents' && {
      positions: Int32Array.from({ length: size }, (_, i) => i % contextLength),
    }),
    targetCount: size,
  };
  return objective.kind === 'dpo' ? withReference(batch, microBatchSize) : batch;
}
