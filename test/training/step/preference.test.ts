/** Preference pairs against TRL's DPOTrainer: log-probabilities of the reference, loss, rewards, gradients. */
import { mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Tensor } from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { loadCheckpoint } from '../../../src/checkpoint/checkpoint.ts';
import { parseResolvedConfig } from '../../../src/config/load.ts';
import type { Config } from '../../../src/config/schema.ts';
import { importModel } from '../../../src/huggingface/importModel.ts';
import { parameterRoles } from '../../../src/model/trainedParameters.ts';
import { openSession } from '../../../src/runtime/openSession.ts';
import type { Mode, Session } from '../../../src/runtime/session.ts';
import { elementCount } from '../../../src/tensors/tensors.ts';
import { evaluatedShape, recordEvaluation } from '../../../src/training/step/evaluation.ts';
import { lossAndGradients, lossFeeds, lossInputs } from '../../../src/training/step/gradients.ts';
import {
  microBatchFeeds,
  microBatchInputs,
  microBatchRowLosses,
  preferenceMeans,
  type ScoredMicroBatch,
} from '../../../src/training/step/microBatchLoss.ts';
import type { PreferenceMeans } from '../../../src/run/metrics.ts';
import { recordTrainingStep, type StepResult } from '../../../src/training/step/step.ts';
import { trainingState } from '../../../src/training/step/trainingState.ts';
import { readFrozen, readTrained } from '../../../src/training/step/update.ts';
import { fixture, relativeDifference, vocabularySize } from '../../huggingface/fixtures.ts';
import { useTemporaryFolder } from '../../temporaryFolder.ts';
import { tinyConfig } from '../tinyRun.ts';

interface Pair {
  prompt_ids: number[];
  chosen_ids: number[];
  rejected_ids: number[];
}
interface Case {
  beta: number;
  labelSmoothing: number;
  loss: number;
  rewardChosen: number;
  rewardRejected: number;
  margin: number;
  accuracy: number;
  gradients?: Record<string, number[]>;
}
interface AdapterFixture {
  model: string;
  rank: number;
  alpha: number;
  targets: Config['adapter']['targets'];
  adapter: Record<string, number[]>;
  reference: [chosen: number[], rejected: number[]];
  cases: Case[];
}
const fixtures: {
  pairs: Pair[];
  adapters: AdapterFixture[];
  whole: (Case & { model: string; gradientNorm: number })[];
} = JSON.parse(readFileSync(join(import.meta.dirname, '../fixtures/preferences.json'), 'utf8'));

const folder = useTemporaryFolder();

/** The rows of pairs, chosen and rejected in turns. @param padding pairs that are added */
function microBatchOf(pairs: Pair[], T: number, reference: number[], padding = 0): ScoredMicroBatch {
  const rows = 2 * (pairs.length + padding);
  const [inputs, targets] = [new Int32Array(rows * T), new Int32Array(rows * T)];
  const lossMask = new Float32Array(rows * T);
  for (const [i, { prompt_ids, chosen_ids, rejected_ids }] of pairs.entries()) {
    for (const [j, completion] of [chosen_ids, rejected_ids].entries()) {
      const ids = [...prompt_ids, ...completion];
      const at = (2 * i + j) * T;
      inputs.set(ids.slice(0, -1), at);
      targets.set(ids.slice(1), at);
      lossMask.fill(1, at + prompt_ids.length - 1, at + ids.length - 1);
    }
  }
  const values = new Float32Array(rows);
  values.set(reference);
  const weights = new Float32Array(rows / 2).fill(1, 0, pairs.length);
  const targetCount = lossMask.reduce((sum, each) => sum + each, 0);
  const ofPairs = { reference: values, weights, count: pairs.length };
  return { inputs, targets, lossMask, targetCount, pairs: ofPairs };
}

const interleaved = ([chosen, rejected]: [number[], number[]]): number[] =>
  chosen.flatMap((value, i) => [value, rejected[i]!]);

type Sections = { adapter?: AdapterFixture; training?: Partial<Config['training']> };

/** A session with the model, and with the adapter of the fixture if there is one. */
async function openSessionOf(
  name: string,
  { beta, labelSmoothing }: Pick<Case, 'beta' | 'labelSmoothing'>,
  { adapter, training }: Sections,
  mode: Mode,
): Promise<{ session: Session; config: Config }> {
  const run = mkdtempSync(join(folder(), name));
  const { checkpoint: path } = await importModel(fixture(name), run, { contextLength: null });
  const { model, configText } = await loadCheckpoint(path, { optimizer: false });
  const objective = { kind: 'dpo' as const, beta, labelSmoothing };
  const plain = tinyConfig({ training: { microBatchSize: 3, objective, branches: 2, ...training } });
  const config = {
    ...plain,
    model: parseResolvedConfig(configText, 'config.yaml').model,
    ...(adapter && {
      adapter: {
        kind: 'lora' as const,
        dropout: 0,
        rank: adapter.rank,
        alpha: adapter.alpha,
        targets: adapter.targets,
      },
    }),
  };
  const { trained } = parameterRoles(config, vocabularySize);
  const session = openSession({ mode, ...config.training, device: 'cpu' });
  const own = adapter
    ? trained.map(({ name: each, shape }) => ({ name: each, shape, values: Float32Array.from(adapter.adapter[each]!) }))
    : [];
  for (const { shape, values } of own) expect(values.length).toBe(elementCount(shape));
  const state = trainingState(config, trained, adapter ? own : model);
  await session.addVariables([...model, ...own, ...state]);
  return { session, config };
}

/** What a step computes before its update. */
async function computed(
  session: Session,
  config: Config,
  microBatch: ScoredMicroBatch,
): Promise<PreferenceMeans & { loss: number; gradients: Record<string, Float32Array> }> {
  const { trained, frozen } = parameterRoles(config, vocabularySize);
  const program = session.program('computed', lossInputs(session, config), (feeds, variables) => {
    const parameters = { trained: readTrained(config, variables, trained), frozen: readFrozen(variables, frozen) };
    const { loss, figures, gradients } = lossAndGradients(session, config, trained, parameters, feeds);
    const named: Record<string, Tensor> = Object.fromEntries(trained.map(({ name }, i) => [name, gradients[i]!]));
    return { loss, figures, ...named };
  });
  const { loss, figures, ...gradients } = await program.run(lossFeeds(microBatch, 1 / microBatch.pairs!.count, 0));
  return { loss: loss![0]!, ...preferenceMeans([figures!], 1), gradients };
}

const rewards = ['rewardChosen', 'rewardRejected', 'margin', 'accuracy'] as const;
const keys = ['loss', ...rewards] as const;

describe.each(fixtures.adapters)('an adapter of $model', (adapter) => {
  it('has the log-probabilities of the base as its reference', async () => {
    const { session, config } = await openSessionOf(adapter.model, adapter.cases[0]!, { adapter }, 'recorded');
    try {
      const { frozen } = parameterRoles(config, vocabularySize);
      const shape = { ...evaluatedShape(session, config, 3), adapter: null };
      const program = session.program('reference', microBatchInputs(shape), (feeds, variables) => ({
        losses: microBatchRowLosses(readFrozen(variables, frozen), feeds, shape),
      }));
      const microBatch = microBatchOf(fixtures.pairs, config.model.contextLength, []);
      const { losses } = await program.run(microBatchFeeds(microBatch));
      const expected = interleaved(adapter.reference);
      expect(
        relativeDifference(
          losses.map((loss) => -loss),
          expected,
        ),
      ).toBeLessThan(1e-5);
    } finally {
      session.close();
    }
  });

  it.each(
    adapter.cases.flatMap((each) => [
      { ...each, mode: 'recorded' as const, recompute: null },
      ...(each.labelSmoothing > 0 && each.gradients
        ? ([
            { ...each, mode: 'eager', recompute: null },
            { ...each, mode: 'recorded', recompute: 'block' },
          ] as const)
        : []),
    ]),
  )('beta $beta, smoothing $labelSmoothing, $mode, recompute $recompute', async ({ mode, recompute, ...expected }) => {
    const { session, config } = await openSessionOf(
      adapter.model,
      expected,
      { adapter, training: { recompute } },
      mode,
    );
    try {
      const reference = interleaved(adapter.reference);
      const microBatch = microBatchOf(fixtures.pairs, config.model.contextLength, reference);
      const actual = await computed(session, config, microBatch);
      for (const key of keys) expect(Math.abs(actual[key] / expected[key] - 1), key).toBeLessThan(1e-5);
      if (!expected.gradients) return;
      expect(Object.keys(actual.gradients).sort()).toEqual(Object.keys(expected.gradients).sort());
      for (const [parameter, values] of Object.entries(expected.gradients))
        expect(relativeDifference(actual.gradients[parameter]!, values), parameter).toBeLessThan(1e-5);
    } finally {
      session.close();
    }
  });

  it('in evaluation, padding counts for nothing, and perplexity is that of the chosen completions', async () => {
    const expected = adapter.cases[3]!;
    const { session, config } = await openSessionOf(adapter.model, expected, { adapter }, 'recorded');
    try {
      const { trained, frozen } = parameterRoles(config, vocabularySize);
      const evaluate = recordEvaluation(session, config, trained, 2, frozen);
      const T = config.model.contextLength;
      const reference = interleaved(adapter.reference);
      const batches = async function* () {
        yield microBatchOf(fixtures.pairs.slice(0, 2), T, reference.slice(0, 4));
        yield microBatchOf(fixtures.pairs.slice(2), T, reference.slice(4), 1);
      };
      const byteLengths = new Uint16Array(vocabularySize).fill(2);
      const evaluation = (await evaluate(batches(), { byteLengths }))!;
      for (const key of keys) expect(Math.abs(evaluation[key]! / expected[key] - 1), key).toBeLessThan(1e-5);
      expect(evaluation).toMatchObject({ pairs: 3, tokens: 4 + 1 + 3 });
      const chosen = adapter.reference[0].reduce((sum, each) => sum + each, 0);
      const nats = -(3 * expected.rewardChosen) / expected.beta - chosen;
      expect(Math.abs(evaluation.perplexity / Math.exp(nats / 8) - 1)).toBeLessThan(1e-4);
      expect(Math.abs(evaluation.bitsPerByte / (nats / 16 / Math.LN2) - 1)).toBeLessThan(1e-4);
    } finally {
      session.close();
    }
  });

  it('two micro-batches make the update of one of their size', async () => {
    const reference = interleaved(adapter.reference);
    const results = [];
    for (const [microBatchSize, microBatchesPerStep] of [
      [2, 1],
      [1, 2],
    ] as const) {
      const training = { microBatchSize, microBatchesPerStep };
      const { session, config } = await openSessionOf(
        adapter.model,
        adapter.cases[0]!,
        { adapter, training },
        'recorded',
      );
      try {
        const { trained, frozen } = parameterRoles(config, vocabularySize);
        const step = await recordTrainingStep(session, config, trained, frozen);
        const batch = (from: number, to: number) =>
          microBatchOf(fixtures.pairs.slice(from, to), config.model.contextLength, reference.slice(2 * from, 2 * to));
        const batches = microBatchSize === 2 ? [batch(0, 2)] : [batch(0, 1), batch(1, 2)];
        results.push(await step(batches, 1, 0.01));
      } finally {
        session.close();
      }
    }
    const [one, two] = results as [StepResult, StepResult];
    expect(two.loss).toBeCloseTo(one.loss, 6);
    expect(two.gradientNorm).toBeCloseTo(one.gradientNorm, 5);
    for (const key of rewards) expect(two.preference![key]).toBeCloseTo(one.preference![key], 6);
  });
});

it.each(fixtures.whole)('all weights of $model have the gradients of TRL', async ({ model, ...expected }) => {
  for (const mode of ['recorded', 'eager'] as const) {
    const { session, config } = await openSessionOf(model, expected, {}, mode);
    try {
      const reference = interleaved(fixtures.adapters.find((each) => each.model === model)!.reference);
      const microBatch = microBatchOf(fixtures.pairs, config.model.contextLength, reference);
      const { gradients, ...actual } = await computed(session, config, microBatch);
      expect(Math.abs(actual.loss / expected.loss - 1)).toBeLessThan(1e-5);
      expect(Math.abs(actual.margin)).toBeLessThan(1e-5); // the model is its own reference
      const squares = Object.values(gradients).map((values) => values.reduce((sum, x) => sum + x * x, 0));
      const norm = Math.sqrt(squares.reduce((sum, each) => sum + each, 0));
      expect(Math.abs(norm / expected.gradientNorm - 1)).toBeLessThan(1e-5);
      for (const [parameter, values] of Object.entries(expected.gradients!))
        expect(relativeDifference(gradients[parameter]!, values), parameter).toBeLessThan(1e-5);
    } finally {
      session.close();
    }
  }
});
