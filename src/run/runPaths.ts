/**
 * Where everything of a run lies (row 3 of the walk):
 *
 *   config.yaml        resolved config         metrics.jsonl   one fact a line
 *   environment.json   versions and machine    samples/        completions on the way
 *   tokenizer.json                             checkpoints/step-00000500/
 *   status.json        how the run stands      run.lock        who writes it now
 *   corpus.json        what it is trained on
 */
import { join } from 'node:path';

/** Paths of one run. */
export interface RunPaths {
  config: string;
  environment: string;
  tokenizer: string;
  corpus: string;
  metrics: string;
  status: string;
  samples: string;
  checkpoints: string;
}

/** The paths below a run directory. */
export const runPaths = (runDirectory: string): RunPaths => ({
  config: join(runDirectory, 'config.yaml'),
  environment: join(runDirectory, 'environment.json'),
  tokenizer: join(runDirectory, 'tokenizer.json'),
  corpus: join(runDirectory, 'corpus.json'),
  metrics: join(runDirectory, 'metrics.jsonl'),
  status: join(runDirectory, 'status.json'),
  samples: join(runDirectory, 'samples'),
  checkpoints: join(runDirectory, 'checkpoints'),
});
