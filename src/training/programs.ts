/**
 * Everything the loop calls, bound to one run: the stream of micro-batches, the recorded step and
 * evaluation, sampling and saving. The loop itself knows no files and no tensors.
 */
import path from 'node:path';
import { saveCheckpoint, type Checkpoint } from '../checkpoint/checkpoint.ts';
import { writeFileDurably } from '../storage/durable.ts';
import { runPaths } from '../run/runPaths.ts';
import { assertSameTensors } from '../tensors/tensors.ts';
import { renderConfig } from '../config/resolved.ts';
import type { Config } from '../config/schema.ts';
import { backgroundSequence } from '../data/windows/backgroundSequence.ts';
import { validationBatches, type TrainingBatch } from '../data/windows/batches.ts';
import type { Corpus } from '../data/files/corpus.ts';
import { parseCursor, type Cursor } from '../data/windows/cursor.ts';
import { textOrigins } from '../data/windows/origins.ts';
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { renderTokenizer } from '../data/tokenizers/tokenizerFile.ts';
import { initialParameters } from '../model/initialise.ts';
import { ExpectedError } from '../errors.ts';
import { parameterTable } from '../model/parameters.ts';
import type { Session } from '../runtime/session.ts';
import { openDecoding } from '../sampling/decoding.ts';
import { generate } from '../sampling/generate.ts';
import { defaultPrompt, requestsOf } from '../sampling/requests.ts';
import { defaultSettings } from '../sampling/settings.ts';
import { assertFinite } from './diverged.ts';
import type { Evaluation } from '../run/metrics.ts';
import { recordEvaluation } from './step/evaluation.ts';
import type { Report } from './sinks/facts.ts';
import type { StepText } from './alarms.ts';
import { backgroundSaves } from './saves.ts';
import { letGo } from './letGo.ts';
import { setVariables } from './setVariables.ts';
import { recordTrainingStep, type StepResult } from './step/step.ts';
import { trainingState } from './step/trainingState.ts';
import { noEvaluations, type ValidationHistory } from './validationHistory.ts';

export interface RunPrograms {
  config: Config;
  /** The endless training stream, from where the run stands. */
  microBatches(): AsyncGenerator<TrainingBatch, void, void>;
  /** Makes update `step` (from 1). */
  step(microBatches: TrainingBatch[], step: number, learningRate: number): Promise<StepResult>;
  /** null where the signal stopped it. */
  evaluate(signal: AbortSignal): Promise<Evaluation | null>;
  /** A completion, also written to samples/; that the disk refuses it is a warning. */
  sample(step: number, report: Report): Promise<{ prompt: string; completion: string }>;
  /** Saves the state after `step` updates, in the background. */
  save(step: number, validation: ValidationHistory, report: Report): Promise<void>;
  /** Waits for the save under way; throws where the newest one failed. */
  saved(): Promise<void>;
  /** What reading the corpus has to tell the user since it was last asked. */
  notes(): string[];
  /** Where the micro-batches of the latest step stand in the training sequence, and their text in the corpus. */
  latestText(): Promise<StepText>;
}

interface RunInputs {
  config: Config;
  corpus: Corpus;
  tokenizer: Tokenizer;
  /** The length of the run, over which the weights of a mixture may change. */
  plan?: { steps: number } | undefined;
  runDirectory: string;
  /** Where to continue from; undefined for a fresh run. */
  checkpoint: Checkpoint | undefined;
  /** Whose weights a fresh run begins with; undefined for random ones. */
  start: Checkpoint | undefined;
  /** See `RunLock.renew`; absent where nobody else knows of the run directory. */
  renewLock?: (() => Promise<void>) | undefined;
}

/** Where the sample of a step is written. */
export const sampleFile = (runDirectory: string, step: number): string =>
  path.join(runPaths(runDirectory).samples, `step-${String(step).padStart(8, '0')}.txt`);

/** The first micro-batches of a sequence, over and over. */
async function* firstBatchesAgain(
  batches: AsyncGenerator<TrainingBatch, void, void>,
  count: number,
): AsyncGenerator<TrainingBatch, void, void> {
  const first: TrainingBatch[] = [];
  for await (const batch of batches) if (first.push(batch) === count) break;
  for (;;) yield* first;
}

/** Puts the parameters into the session and records all programs of the run. */
export async function recordRun(session: Session, inputs: RunInputs): Promise<RunPrograms> {
  const { config, corpus, tokenizer, runDirectory, checkpoint, start } = inputs;
  const { model: modelConfig, training, seed } = config;
  const table = parameterTable(modelConfig, tokenizer.vocabularySize);
  if (start) assertSameTensors(table, start.model, path.join(start.path, 'model.safetensors'));
  const initialModel = checkpoint?.model ?? start?.model ?? initialParameters(table, seed);
  const initialState = trainingState(config, table, initialModel);
  const stateNames = initialState.map(({ name }) => name); // closures that hold names let go of the values
  if (checkpoint) {
    assertSameTensors(table, checkpoint.model, path.join(checkpoint.path, 'model.safetensors'));
    assertSameTensors(initialState, checkpoint.optimizer, path.join(checkpoint.path, 'optimizer.safetensors'));
  }
  await setVariables(session, [...initialModel, ...(checkpoint?.optimizer ?? initialState)]);

  const runStep = await recordTrainingStep(session, config, table);
  const runEvaluation = recordEvaluation(session, config, table, training.microBatchSize);
  const decoding = openDecoding(session, modelConfig, table, 1);
  const prompt = defaultPrompt(config, tokenizer);

  // The cursor saved is that of the last micro-batch used, so what is read ahead is neither lost nor repeated.
  let cursor: Cursor | undefined =
    checkpoint && parseCursor(checkpoint.state.cursor, path.join(checkpoint.path, 'state.json'));
  const { contextLength } = modelConfig;
  const { microBatchSize } = training;
  const notes: string[] = [];
  const onWarning = (message: string) => void notes.push(message);
  let validation = noEvaluations;
  let previousCursor = cursor;
  const windowsPerStep = training.microBatchesPerStep * microBatchSize;
  const totalWindows = inputs.plan && inputs.plan.steps * windowsPerStep;
  const sequence = {
    seed,
    contextLength,
    microBatchSize,
    shuffleTokens: config.corpus.shuffleTokens,
    totalWindows,
    windowsPerStep,
    onWarning,
  };
  const texts = { configText: renderConfig(config), tokenizerText: renderTokenizer(tokenizer) };

  const saves = backgroundSaves(
    async (step) => {
      const model = await session.readVariables(table.map(({ name }) => name));
      const optimizer = await session.readVariables(stateNames);
      assertFinite([...model, ...optimizer], step);
      const tokens = step * training.microBatchesPerStep * microBatchSize * contextLength;
      return { step, state: { cursor, tokens, validation }, ...texts, model, optimizer };
    },
    async (content) => {
      const folder = await saveCheckpoint(runDirectory, content, config.checkpoints);
      letGo([...content.model, ...content.optimizer]);
      return folder;
    },
    inputs.renewLock,
  );

  return {
    config,
    microBatches: () => {
      const options = { ...sequence, tokenizingWorkers: config.corpus.workers };
      return training.overfitBatch
        ? firstBatchesAgain(backgroundSequence(corpus, tokenizer, options), training.microBatchesPerStep)
        : backgroundSequence(corpus, tokenizer, options, cursor);
    },
    step: async (microBatches, step, learningRate) => {
      const result = await runStep(microBatches, step, learningRate);
      previousCursor = training.overfitBatch ? undefined : cursor;
      cursor = microBatches.at(-1)!.cursor;
      return result;
    },
    evaluate: async (signal) => {
      const batches = validationBatches(corpus, tokenizer, { contextLength, microBatchSize, onWarning });
      const evaluation = await runEvaluation(batches, tokenizer, signal);
      const trained = (name: string): number => {
        const place = cursor?.mixture?.[corpus.mixture!.findIndex((source) => source.name === name)];
        return place?.tokens ?? (place?.windows ?? 0) * contextLength;
      };
      for (const [name, source] of Object.entries(evaluation?.sources ?? {})) source.trainedTokens = trained(name);
      return evaluation;
    },
    sample: async (step, report) => {
      const asked = { settings: defaultSettings(config), tokenizer, contextLength };
      let completion = '';
      for await (const event of generate(decoding, tokenizer, requestsOf({ prompt }, asked), { order: 'input' })) {
        if (event.kind === 'text') completion += event.text;
      }
      try {
        await writeFileDurably(sampleFile(runDirectory, step), prompt + completion);
      } catch (error) {
        if (!(error instanceof ExpectedError) || error.kind !== 'environment') throw error;
        report({ kind: 'warning', step, message: error.message });
      }
      return { prompt, completion };
    },
    save: (step, history, report) => {
      validation = history;
      return saves.begin(step, report);
    },
    saved: () => saves.finished(),
    notes: () => notes.splice(0),
    latestText: async () => ({
      from: previousCursor,
      to: cursor,
      documents: await textOrigins(corpus, tokenizer, sequence, previousCursor, training.microBatchesPerStep),
    }),
  };
}
