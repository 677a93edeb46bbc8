/** A decoder of distinct small sizes for tests, and micro-batches of random tokens for it. */
import type { Config } from '../../src/config/schema.ts';
import { configSchema } from '../../src/config/schema.ts';
import type { MicroBatch } from '../../src/data/windows/batches.ts';
import { initialParameters, parameterTable } from '../../src/model/parameters.ts';
import { randomStream } from '../../src/random.ts';
import type { Kernels } from '../../src/runtime/kernelLibrary.ts';
import { openSession } from '../../src/runtime/openSession.ts';
import type { Mode, Session } from '../../src/runtime/session.ts';
import { trainingState } from '../../src/training/step/trainingState.ts';

export const vocabularySize = 13;

type Sections = { [K in 'model' | 'training' | 'optimizer' | 'schedule']?: Partial<Config[K]> };

/** Sections lie over the tiny defaults: B 3, T 5, L 2, H 2, C 14. */
export function tinyConfig(sections: Sections = {}, seed = 7): Config {
  return configSchema.parse({
    name: 'tiny',
    seed,
    corpus: { sources: [{ path: '/nowhere' }] },
    model: { layers: 2, heads: 2, width: 14, contextLength: 5, ...sections.model },
    training: { microBatchSize: 3, steps: 20, ...sections.training },
    optimizer: { learningRate: 1e-2, ...sections.optimizer },
    schedule: { warmupSteps: 2, finalLearningRate: 1e-3, ...sections.schedule },
  }) as Config;
}

/** Random windows; with `padding` the last positions of the last window carry no loss. */
export function randomMicroBatch(config: Config, index: number, padding = 0): MicroBatch {
  const { microBatchSize: B } = config.training;
  const { contextLength: T } = config.model;
  const stream = randomStream(97, 'micro-batch', index);
  const window = () => Array.from({ length: T + 1 }, () => stream.below(vocabularySize));
  const windows = Array.from({ length: B }, window);
  const lossMask = new Float32Array(B * T).fill(1);
  if (padding > 0) lossMask.fill(0, B * T - padding);
  return {
    inputs: Int32Array.from(windows.flatMap((tokens) => tokens.slice(0, -1))),
    targets: Int32Array.from(windows.flatMap((tokens) => tokens.slice(1))),
    lossMask,
    targetCount: B * T - padding,
  };
}

/** A session that holds the decoder's first parameters and the optimizer's zeros. */
export async function openTinySession(config: Config, mode: Mode, kernels?: Kernels): Promise<Session> {
  const session = openSession({ mode, ...config.training, device: 'cpu', ...(kernels && { kernels }) });
  const table = parameterTable(config.model, vocabularySize);
  const parameters = initialParameters(table, config.seed);
  await session.addVariables([...parameters, ...trainingState(config, table, parameters)]);
  return session;
}
