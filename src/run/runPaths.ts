/**
 * The files of a run directory. Stage: run directory (src/README.md).
 *
 *   config.yaml        resolved config         metrics.jsonl   one record a line
 *   environment.json   versions and machine    samples/        samples during training
 *   tokenizer.json                             checkpoints/step-00000500/
 *   status.json        state of the run        run.lock        the process that writes it
 *   corpus.json        the training text      reference.jsonl  what the reference says of preference pairs
 */
import { join } from 'node:path';

/** Paths of one run. */
export interface RunPaths {
  config: string;
  environment: string;
  tokenizer: string;
  corpus: string;
  metrics: string;
  reference: string;
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
  reference: join(runDirectory, 'reference.jsonl'),
  status: join(runDirectory, 'status.json'),
  samples: join(runDirectory, 'samples'),
  checkpoints: join(runDirectory, 'checkpoints'),
});
