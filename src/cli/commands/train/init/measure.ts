/** How fast this machine trains a model of some size. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { msOfSteps } from '../../../../checks/measurement.ts';
import { loadConfig } from '../../../../config/load.ts';
import { modelParts, type ModelSize, type TokenizerChoice } from '../../../../experiments/startingChoices.ts';

/**
 * Milliseconds of a training step, which do not depend on the text.
 * @param folder where the config is written
 * @throws environmentFailure if TensorFlow is not set up, or the steps take too long
 */
export function msPerStep(
  folder: string,
  { microBatchSize, ...model }: ModelSize,
  { vocabularySize }: TokenizerChoice,
): Promise<number> {
  const config = path.join(folder, 'measured.yaml');
  const sections = {
    corpus: { sources: [{ path: 'none.txt' }] }, // is not read
    model: { ...modelParts, ...model },
    training: { microBatchSize },
    optimizer: { kind: 'muon' },
  };
  writeFileSync(config, JSON.stringify(sections)); // JSON is YAML
  return msOfSteps(loadConfig(config), vocabularySize, 5);
}
