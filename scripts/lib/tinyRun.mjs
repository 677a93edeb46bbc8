// A config of four units a step, whose steps take milliseconds, for checks that start, stop and kill processes.

import { writeFileSync } from 'node:fs';
import path from 'node:path';

/**
 * Writes the text and the config. @param {string} folder
 * @param {{ steps: number, evaluateEverySteps: number, saveEverySteps: number }} run
 * @returns the file of the config
 */
export function writeTinyRun(folder, { steps, evaluateEverySteps, saveEverySteps }) {
  const config = path.join(folder, 'tiny.yaml');
  writeFileSync(path.join(folder, 'text.txt'), 'It was the best of times, it was the worst of times. '.repeat(60));
  writeFileSync(
    config,
    `corpus: { sources: [{ path: text.txt }] }
model: { layers: 1, heads: 2, width: 16, contextLength: 8, dropout: 0.1 }
training: { microBatchSize: 2, microBatchesPerStep: 4, branches: 1, steps: ${steps} }
evaluation: { everySteps: ${evaluateEverySteps} }
samples: { everySteps: null }
checkpoints: { everySteps: ${saveEverySteps}, keepLast: 2 }
schedule: { warmupSteps: 5 }
`,
  );
  return config;
}
