/** The recorded programs of a run over the session's variables: one training step, and the evaluation. */
import path from 'node:path';
import { validationBatches, type MicroBatch } from '../data/windows/batches.ts';
import type { Cursor } from '../data/windows/cursor.ts';
import { initialParameters } from '../model/parameters.ts';
import { preferenceObjective } from '../model/preference.ts';
import { parameterRoles, type ParameterRoles } from '../model/trainedParameters.ts';
import type { Evaluation } from '../run/metrics.ts';
import type { Session } from '../runtime/session.ts';
import { assertSameTensors } from '../tensors/tensors.ts';
import type { PreparedTraining } from './prepare.ts';
import { openReference, type Reference } from './reference.ts';
import { recordEvaluation } from './step/evaluation.ts';
import type { ScoredMicroBatch } from './step/microBatchLoss.ts';
import { recordTrainingStep, type TrainingStep } from './step/step.ts';
import { trainingState } from './step/trainingState.ts';
import { moveIntoSession, readIntoSession, releaseValues, type StateTensors } from './tensorValues.ts';

export interface RunPrograms {
  /** Of preference pairs: what must be complete before the first step; null for other objectives. */
  reference: Reference | null;
  /** Applies update `step` (from 1). */
  step: TrainingStep;
  /**
   * The loss on the validation text; null if the signal stopped it.
   * @param cursor the position in the training sequence: how much of each source of a mixture has been trained on
   */
  evaluate(signal: AbortSignal, cursor: Cursor | undefined): Promise<Evaluation | null>;
  /** The present values, for a checkpoint. */
  readState(): Promise<StateTensors>;
  /** Frees the values of tensors that `readState` returned. */
  releaseState(tensors: StateTensors): void;
}

/** Moves the starting values into the session and records the programs of the run. */
export async function recordPrograms(
  session: Session,
  prepared: PreparedTraining,
  onWarning: (message: string) => void,
): Promise<RunPrograms> {
  const { config, corpus, tokenizer } = prepared;
  const { contextLength } = config.model;
  const { microBatchSize } = config.training;
  const roles = parameterRoles(config, tokenizer.vocabularySize);
  const parameterNames = roles.saved.map(({ name }) => name);
  const stateNames = await setStartingValues(session, roles, prepared);
  const reference = preferenceObjective(config) === null ? null : openReference(session, prepared, roles);
  const step = await recordTrainingStep(session, config, roles.trained, roles.frozen, prepared.plan.stages);
  const evaluate = recordEvaluation(session, config, roles.trained, microBatchSize, roles.frozen);
  const scored = async function* (batches: AsyncIterable<MicroBatch>): AsyncGenerator<ScoredMicroBatch, void, void> {
    for await (const batch of batches) yield reference?.of(batch) ?? batch;
  };
  return {
    reference,
    step: (microBatches, ...when) =>
      step(
        microBatches.map((each) => reference?.of(each) ?? each),
        ...when,
      ),
    evaluate: async (signal, cursor) => {
      const batches = validationBatches(corpus, tokenizer, { contextLength, microBatchSize, onWarning });
      const evaluation = await evaluate(scored(batches), tokenizer, signal);
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
    releaseState: ({ model, optimizer }) => releaseValues([...model, ...optimizer]),
  };
}

/** @returns the names of the optimizer's variables, in the order of checkpoints */
async function setStartingValues(
  session: Session,
  { trained, frozen, saved }: ParameterRoles,
  { config, takeTensors, resumedFrom, startsFrom, base }: PreparedTraining,
): Promise<string[]> {
  if (base) await readIntoSession(session, path.join(base.path, 'model.safetensors'), frozen, config.start.weights);
  const given = takeTensors();
  if (given) assertSameTensors(saved, given.model, path.join((resumedFrom ?? startsFrom)!, 'model.safetensors'));
  const model = given?.model ?? initialParameters(saved, config.seed);
  const trainedNames = new Set(trained.map(({ name }) => name));
  let optimizer = trainingState(
    config,
    trained,
    model.filter(({ name }) => trainedNames.has(name)),
  );
  const names = optimizer.map(({ name }) => name);
  if (resumedFrom !== undefined) {
    assertSameTensors(optimizer, given!.optimizer, path.join(resumedFrom, 'optimizer.safetensors'));
    optimizer = given!.optimizer;
  }
  await moveIntoSession(session, [...model, ...optimizer]);
  return names;
}
