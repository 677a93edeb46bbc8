/** The recorded programs of a run over the session's variables: one training step, and the evaluation. */
import path from 'node:path';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { Config } from '../config/schema.ts';
import type { Corpus } from '../data/files/corpus.ts';
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { validationBatches } from '../data/windows/batches.ts';
import type { Cursor } from '../data/windows/cursor.ts';
import { initialParameters, parameterTable, type ParameterSpec } from '../model/parameters.ts';
import type { Evaluation } from '../run/metrics.ts';
import type { Session } from '../runtime/session.ts';
import { assertSameTensors, type NamedTensor } from '../tensors/tensors.ts';
import { recordEvaluation } from './step/evaluation.ts';
import { recordTrainingStep, type TrainingStep } from './step/step.ts';
import { trainingState } from './step/trainingState.ts';
import { moveIntoSession } from './tensorValues.ts';

/** Model and optimizer of a run, as a checkpoint has them. */
export interface StateTensors {
  model: NamedTensor[];
  optimizer: NamedTensor[];
}

export interface RunPrograms {
  /** Applies update `step` (from 1). */
  step: TrainingStep;
  /**
   * The loss on the validation text; null if the signal stopped it.
   * @param cursor the position in the training sequence: how much of each source of a mixture has been trained on
   */
  evaluate(signal: AbortSignal, cursor: Cursor | undefined): Promise<Evaluation | null>;
  /** The present values, for a checkpoint. */
  readState(): Promise<StateTensors>;
}

interface ProgramInputs {
  config: Config;
  corpus: Corpus;
  tokenizer: Tokenizer;
  /** The checkpoint to continue from; undefined for a fresh run. */
  checkpoint: Pick<Checkpoint, 'path'> | undefined;
  /** The checkpoint whose weights a fresh run starts from; undefined for random weights. */
  start: Pick<Checkpoint, 'path'> | undefined;
  /** Tensors of `checkpoint` or `start`; they can be taken once, and are used up. */
  takeTensors(): StateTensors | undefined;
}

/** Moves the starting values into the session and records the programs of the run. */
export async function recordPrograms(
  session: Session,
  inputs: ProgramInputs,
  onWarning: (message: string) => void,
): Promise<RunPrograms> {
  const { config, corpus, tokenizer } = inputs;
  const { contextLength } = config.model;
  const { microBatchSize } = config.training;
  const table = parameterTable(config.model, tokenizer.vocabularySize);
  const parameterNames = table.map(({ name }) => name);
  const stateNames = await setStartingValues(session, table, inputs);
  const step = await recordTrainingStep(session, config, table);
  const evaluate = recordEvaluation(session, config, table, microBatchSize);
  return {
    step,
    evaluate: async (signal, cursor) => {
      const batches = validationBatches(corpus, tokenizer, { contextLength, microBatchSize, onWarning });
      const evaluation = await evaluate(batches, tokenizer, signal);
      for (const [name, source] of Object.entries(evaluation?.sources ?? {})) {
        const position = cursor?.mixture?.[corpus.mixture!.findIndex((each) => each.name === name)];
        source.trainedTokens = position?.tokens ?? (position?.windows ?? 0) * contextLength;
      }
      return evaluation;
    },
    readState: async () => ({
      model: await session.readVariables(parameterNames),
      optimizer: await session.readVariables(stateNames),
    }),
  };
}

/** @returns the names of the optimizer's variables, in the order of checkpoints */
async function setStartingValues(
  session: Session,
  table: readonly ParameterSpec[],
  { config, checkpoint, start, takeTensors }: ProgramInputs,
): Promise<string[]> {
  const given = takeTensors();
  const source = checkpoint ?? start;
  if (source) assertSameTensors(table, given!.model, path.join(source.path, 'model.safetensors'));
  const model = given?.model ?? initialParameters(table, config.seed);
  const state = trainingState(config, table, model);
  const names = state.map(({ name }) => name);
  if (checkpoint) assertSameTensors(state, given!.optimizer, path.join(checkpoint.path, 'optimizer.safetensors'));
  await moveIntoSession(session, [...model, ...(checkpoint ? given!.optimizer : state)]);
  return names;
}
