/** Where a run's facts go besides metrics.jsonl and the terminal: what `reports.log` names. */
import { join } from 'node:path';
import { errorCode } from '../checkpoint/diskFailure.ts';
import { runPaths } from '../checkpoint/runPaths.ts';
import type { Config } from '../config/schema.ts';
import { ExpectedError } from '../errors.ts';
import { openCsvSink } from './csvSink.ts';
import type { Report } from './facts.ts';
import { openTensorboardSink } from './tensorboardSink.ts';

/** Something facts are written to, open until the run ends. */
export interface Sink {
  report: Report;
  close(): void;
}

/**
 * Opens what `reports.log` names; the run directory exists and its metrics.jsonl is as long as the run so far.
 * @param warn is told when the disk refuses one, which ends this copy of the log and not the run
 */
export function openSinks(
  runDirectory: string,
  { log, everySteps }: Config['reports'],
  startStep: number,
  warn: (message: string) => void,
): Sink[] {
  const sinks = log.map((kind) =>
    kind === 'tensorboard'
      ? openTensorboardSink(join(runDirectory, 'tensorboard'), { startStep, everySteps })
      : openCsvSink(join(runDirectory, 'metrics.csv'), runPaths(runDirectory).metrics, { everySteps }),
  );
  return sinks.map((sink) => endedByFailure(sink, warn));
}

function endedByFailure(sink: Sink, warn: (message: string) => void): Sink {
  let isOpen = true;
  const report: Report = (fact) => {
    if (!isOpen) return;
    try {
      sink.report(fact);
    } catch (error) {
      if (errorCode(error) === undefined && !(error instanceof ExpectedError)) throw error;
      isOpen = false;
      warn(`A copy of the log ends here. ${(error as Error).message}`);
    }
  };
  return { report, close: () => sink.close() };
}
