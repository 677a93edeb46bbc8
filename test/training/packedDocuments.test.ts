/** Documents packed into a window are each what they are alone: by logits, loss and gradient. */
import type { Tensor } from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import type { Config } from '../../src/config/schema.ts';
import type { MicroBatch } from '../../src/data/windows/batches.ts';
import { decode } from '../../src/model/decoder.ts';
import { parameterTable } from '../../src/model/parameters.ts';
import { randomStream } from '../../src/random.ts';
import type { Mode, Session } from '../../src/runtime/session.ts';
import { recordEvaluation } from '../../src/training/step/evaluation.ts';
import { lossAndGradients, lossFeeds, lossInputs } from '../../src/training/step/gradients.ts';
import { recordTrainingStep } from '../../src/training/step/step.ts';
import { openTinySession, tinyConfig, vocabularySize } from './tinyRun.ts';

type Sections = Parameters<typeof tinyConfig>[0];

const T = 11;
/** Lengths in places of the documents of each window; the second has padding. */
const windows = [[4, 5, 2], [1, 6], [11]];

const stream = randomStream(41, 'documents');
const documents = windows
  .flat()
  .map((places) => Array.from({ length: places + 1 }, () => stream.below(vocabularySize)));

function configOf(
  packing: 'concatenate' | 'documents',
  { model, training, ...rest }: NonNullable<Sections> = {},
): Config {
  const config = tinyConfig({
    model: { contextLength: T, ...model },
    training: { microBatchSize: 3, ...training },
    ...rest,
  });
  return { ...config, corpus: { ...config.corpus, packing } };
}

/** These documents, one after the other, each in the window that `windowOf` says, from place `placeOf` on. */
function microBatchOf(
  rows: number,
  placed: { tokens: number[]; row: number; place: number }[],
  hasPositions: boolean,
): MicroBatch {
  const [inputs, targets, positions] = [new Int32Array(rows * T), new Int32Array(rows * T), new Int32Array(rows * T)];
  const lossMask = new Float32Array(rows * T);
  let targetCount = 0;
  for (const { tokens, row, place } of placed) {
    for (let t = 0; t + 1 < tokens.length; t++) {
      const at = row * T + place + t;
      [inputs[at], targets[at], positions[at], lossMask[at]] = [tokens[t]!, tokens[t + 1]!, t, 1];
      targetCount++;
    }
  }
  return { inputs, targets, lossMask, targetCount, ...(hasPositions && { positions }) };
}

let next = 0;
const placed = windows.flatMap((lengths, row) => {
  let place = 0;
  return lengths.map((length) => {
    const document = { tokens: documents[next++]!, row, place };
    place += length;
    return document;
  });
});
const packed = microBatchOf(3, placed, true);
const alone = documents.map((tokens) => microBatchOf(1, [{ tokens, row: 0, place: 0 }], false));

/** The logits (N, V) of a micro-batch of B windows. */
async function logitsOf(session: Session, config: Config, batch: MicroBatch, B: number): Promise<Float32Array> {
  const table = parameterTable(config.model, vocabularySize);
  const spec = { shape: [B * T], dtype: 'int32' } as const;
  const program = session.program(
    `logits${B}${batch.positions ? 'packed' : ''}`,
    { inputs: spec, positions: spec },
    (feeds, variables) => {
      const parameters = Object.fromEntries(table.map(({ name }) => [name, variables.read(name)]));
      const documentPositions = batch.positions ? feeds['positions']! : null;
      return {
        logits: decode(parameters, feeds['inputs']!, {
          model: config.model,
          batchSize: B,
          length: T,
          documentPositions,
          dropout: null,
        }),
      };
    },
  );
  return (await program.run({ inputs: batch.inputs, positions: batch.positions ?? new Int32Array(B * T) }))['logits']!;
}

async function gradientsOf(
  session: Session,
  config: Config,
  batch: MicroBatch,
  lossScale: number,
): Promise<{ loss: number; gradients: Float32Array[] }> {
  const table = parameterTable(config.model, vocabularySize);
  const program = session.program(
    `gradients${config.training.microBatchSize}`,
    lossInputs(session, config),
    (feeds, variables): Record<string, Tensor> => {
      const trained = Object.fromEntries(table.map(({ name }) => [name, variables.read(name)]));
      const parameters = { trained, frozen: {} };
      const { loss, gradients } = lossAndGradients(session, config, table, parameters, feeds);
      return { loss, ...Object.fromEntries(gradients.map((gradient, i) => [`g${i}`, gradient])) };
    },
  );
  const result = await program.run(lossFeeds(batch, lossScale, 0));
  return { loss: result['loss']![0]!, gradients: table.map((_, i) => result[`g${i}`]!) };
}

const largestDifference = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (value, i) => Math.abs(value - b[i]!)));

const models: [string, Sections][] = [
  ['gpt2, learned positions', { model: { biases: true } }],
  [
    'llama, rotated positions and grouped queries',
    { model: { family: 'llama', heads: 4, keyValueHeads: 2, headSize: 4, queryKeyNorm: true } },
  ],
];

describe.each(models)('packed documents, %s', (_, sections) => {
  it('have the logits they have alone', async () => {
    const config = configOf('documents', sections);
    const session = await openTinySession(config, 'recorded');
    try {
      const together = await logitsOf(session, config, packed, 3);
      for (const [i, { row, place, tokens }] of placed.entries()) {
        const places = tokens.length - 1;
        const own = (await logitsOf(session, configOf('concatenate', sections), alone[i]!, 1)).subarray(
          0,
          places * vocabularySize,
        );
        const start = (row * T + place) * vocabularySize;
        expect(largestDifference(own, together.subarray(start, start + own.length)), `document ${i}`).toBeLessThan(
          2e-6,
        );
      }
      // Without positions they do see each other: what the test would miss were the mask not there.
      const { positions: _, ...unaware } = packed;
      expect(largestDifference(await logitsOf(session, config, unaware, 3), together)).toBeGreaterThan(1e-3);
    } finally {
      session.close();
    }
  });

  it.each([
    ['in branches', { training: { branches: 2 } }],
    ['with blocks computed again', { training: { branches: 1, recompute: 'block' as const } }],
  ])('have the gradient of the documents one by one, %s', async (__, { training }) => {
    const config = configOf('documents', { ...sections, training });
    const session = await openTinySession(config, 'recorded');
    const lossScale = 1 / packed.targetCount;
    try {
      const together = await gradientsOf(session, config, packed, lossScale);
      const one = configOf('concatenate', { ...sections, training: { ...training, microBatchSize: 1 } });
      let loss = 0;
      const sums = together.gradients.map((gradient) => new Float64Array(gradient.length));
      for (const batch of alone) {
        const own = await gradientsOf(session, one, batch, lossScale);
        loss += own.loss;
        own.gradients.forEach((gradient, i) => gradient.forEach((value, j) => (sums[i]![j]! += value)));
      }
      expect(Math.abs(loss - together.loss)).toBeLessThan(1e-6);
      for (const [i, gradient] of together.gradients.entries()) {
        const largest = Math.max(...gradient.map(Math.abs));
        expect(
          largestDifference(sums[i]!, gradient),
          parameterTable(config.model, vocabularySize)[i]!.name,
        ).toBeLessThan(1e-5 * Math.max(largest, 0.01));
      }
    } finally {
      session.close();
    }
  });
});

it('recorded equals eager with packed documents, dropout and two micro-batches, and the loss falls', async () => {
  const run = async (mode: Mode): Promise<number[]> => {
    const config = configOf('documents', {
      model: { dropout: 0.2 },
      training: { microBatchesPerStep: 2, recompute: 'block' },
    });
    const session = await openTinySession(config, mode);
    try {
      const step = await recordTrainingStep(session, config, parameterTable(config.model, vocabularySize));
      const losses: number[] = [];
      for (let i = 1; i <= 12; i++) losses.push((await step([packed, packed], i, 1e-2)).loss);
      return losses;
    } finally {
      session.close();
    }
  };
  const [recorded, eager] = [await run('recorded'), await run('eager')];
  expect(largestDifference(recorded, eager)).toBeLessThan(1e-4);
  expect(recorded.at(-1)).toBeLessThan(recorded[0]! - 0.1);
});

it('an evaluation gives the mean loss of the documents one by one', async () => {
  const config = configOf('documents');
  const session = await openTinySession(config, 'recorded');
  const table = parameterTable(config.model, vocabularySize);
  const byteLengths = new Uint16Array(vocabularySize).fill(1);
  const of = async function* (batches: MicroBatch[]) {
    yield* batches;
  };
  try {
    const together = await recordEvaluation(session, config, table, 3)(of([packed]), { byteLengths });
    const separate = await recordEvaluation(session, configOf('concatenate'), table, 1)(of(alone), { byteLengths });
    expect(together!.tokens).toBe(separate!.tokens);
    expect(Math.abs(together!.loss - separate!.loss)).toBeLessThan(1e-6);
  } finally {
    session.close();
  }
});
