/** Where a run's facts go besides metrics.jsonl and the terminal: what `reports.log` names. */
import { join } from 'node:path';
import { runPaths } from '../checkpoint/runPaths.ts';
import type { Config } from '../config/schema.ts';
import { openCsvSink } from './csvSink.ts';
import type { Report } from './facts.ts';
import { openTensorboardSink } from './tensorboardSink.ts';

/** Something facts are written to, open until the run ends. */
export interface Sink {
  report: Report;
  close(): void;
}

/** Opens what `reports.log` names; the run directory exists and its metrics.jsonl is as long as the run so far. */
export function openSinks(runDirectory: string, { log, everySteps }: Config['reports'], startStep: number): Sink[] {
  return log.map((kind) =>
    kind === 'tensorboard'
      ? openTensorboardSink(join(runDirectory, 'tensorboard'), { startStep, everySteps })
      : openCsvSink(join(runDirectory, 'metrics.csv'), runPaths(runDirectory).metrics, { everySteps }),
  );
}
