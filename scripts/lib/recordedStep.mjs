// The training step of a config, for scripts that run steps without a run directory.

import { initialParameters, parameterTable } from '#clm/model/parameters.js';
import { openSession } from '#clm/runtime/openSession.js';
import { recordTrainingStep } from '#clm/training/step/step.js';
import { trainingState } from '#clm/training/step/trainingState.js';
import { moveIntoSession } from '#clm/training/tensorValues.js';

/**
 * A session on the CPU with a fresh model, and its recorded training step.
 * @param {import('#clm/config/schema.js').Config} config
 * @param {number} vocabularySize
 * @param {import('#clm/runtime/server.js').ServerPlace} [place] among processes that compute together
 */
export async function openRecordedStep(config, vocabularySize, place) {
  const table = parameterTable(config.model, vocabularySize);
  const session = openSession({ mode: 'recorded', ...config.training, device: 'cpu', place });
  const parameters = initialParameters(table, 1);
  const variables = [...parameters, ...trainingState(config, table, parameters)];
  const names = variables.map(({ name }) => name);
  await moveIntoSession(session, variables);
  return { session, names, step: await recordTrainingStep(session, config, table) };
}
