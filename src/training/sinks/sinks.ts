/** Where a run's facts are written: `metrics.jsonl`, and the copies that `reports.log` names. */
import { join } from 'node:path';
import type { Config } from '../../config/schema.ts';
import { ExpectedError } from '../../errors.ts';
import type { MetricsFile } from '../../run/metrics.ts';
import { runPaths } from '../../run/runPaths.ts';
import { openCsvSink } from './csvSink.ts';
import type { Report, Sink } from './facts.ts';
import { openTensorboardSink } from './tensorboardSink.ts';

/** Writes facts to `metrics.jsonl`. @param everySteps thins the step records; the other records are always written */
export function metricsReport(metrics: MetricsFile, everySteps: number): Report {
  return (fact) => {
    if (fact.kind === 'saving') metrics.flush();
    else if (fact.kind === 'evaluation' || fact.kind === 'checkpoint') metrics.append(fact);
    else if (fact.kind === 'step' && fact.step % everySteps === 0) metrics.append(fact);
    // Failed saves and warnings are left out: the log must equal that of a run without them. A sample has a file of its
    // own in samples/, the device is in environment.json.
  };
}

/**
 * Opens the sinks that `reports.log` names. The run directory must exist, with metrics.jsonl cut to the first step.
 * @param hasPairs whether the run is on preference pairs
 * @param warn called if the disk refuses a copy; a copy that still cannot be written then ends, and the run continues
 * @throws environmentFailure if one cannot be opened
 */
export async function openSinks(
  runDirectory: string,
  { log, everySteps }: Config['reports'],
  startStep: number,
  warn: (message: string) => void,
  hasPairs = false,
): Promise<Sink[]> {
  const sinks: Sink[] = [];
  for (const kind of log) {
    const sink =
      kind === 'tensorboard'
        ? await openTensorboardSink(join(runDirectory, 'tensorboard'), { startStep, everySteps, warn })
        : await openCsvSink(join(runDirectory, 'metrics.csv'), runPaths(runDirectory).metrics, {
            everySteps,
            warn,
            hasPairs,
          });
    sinks.push(endedByFailure(sink, warn));
  }
  return sinks;
}

/** A sink that ends with a warning when it fails; the run continues. */
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
      // A failed flush does not prevent the checkpoint: the records that wait are written with the next one.
      attempt(() => sink.report(fact), fact.kind === 'saving' ? () => {} : end);
    },
    close: () => attempt(() => sink.close(), end),
  };
}
