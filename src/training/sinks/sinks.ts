/** Where a run's facts go besides metrics.jsonl and the terminal: what `reports.log` names. */
import { join } from 'node:path';
import { runPaths } from '../../run/runPaths.ts';
import type { Config } from '../../config/schema.ts';
import { ExpectedError } from '../../errors.ts';
import { openCsvSink } from './csvSink.ts';
import type { Sink } from './facts.ts';
import { openTensorboardSink } from './tensorboardSink.ts';

/**
 * Opens what `reports.log` names; the run directory exists and its metrics.jsonl is as long as the run so far.
 * @param warn is told when the disk refuses one; a copy that it goes on refusing ends, and the run does not
 * @throws environmentFailure when one cannot be opened
 */
export async function openSinks(
  runDirectory: string,
  { log, everySteps }: Config['reports'],
  startStep: number,
  warn: (message: string) => void,
): Promise<Sink[]> {
  const sinks: Sink[] = [];
  for (const kind of log) {
    const sink =
      kind === 'tensorboard'
        ? await openTensorboardSink(join(runDirectory, 'tensorboard'), { startStep, everySteps, warn })
        : await openCsvSink(join(runDirectory, 'metrics.csv'), runPaths(runDirectory).metrics, { everySteps, warn });
    sinks.push(endedByFailure(sink, warn));
  }
  return sinks;
}

/** A sink whose failures end it, with a warning, and never the run. */
export function endedByFailure(sink: Sink, warn: (message: string) => void): Sink {
  let isWhole = true;
  const attempt = (action: () => void, onFailure: (message: string) => void): void => {
    try {
      action();
    } catch (error) {
      if (!(error instanceof ExpectedError)) throw error;
      onFailure(error.message);
    }
  };
  const end = (message: string): void => {
    if (isWhole) warn(`A copy of the log ends here. ${message}`);
    isWhole = false;
  };
  return {
    report: (fact) => {
      if (!isWhole) return;
      // A copy that cannot be flushed spoils no checkpoint: what waits is written with the next record.
      attempt(() => sink.report(fact), fact.kind === 'saving' ? () => {} : end);
    },
    close: () => attempt(() => sink.close(), end),
  };
}
