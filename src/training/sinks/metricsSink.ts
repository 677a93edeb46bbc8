/** The sink that writes facts to metrics.jsonl. */
import type { MetricsFile } from '../../run/metrics.ts';
import type { Report } from './facts.ts';

/** @param everySteps thins the step records; the other records are always written */
export function metricsSink(metrics: MetricsFile, everySteps: number): Report {
  return (fact) => {
    if (fact.kind === 'saving') metrics.flush();
    // Failed saves and warnings are for people: the log must equal that of a run that met none.
    else if (fact.kind === 'saveFailed' || fact.kind === 'warning') return;
    // A sample has a file of its own in samples/, the device stands in environment.json.
    else if (fact.kind === 'sample' || fact.kind === 'device') return;
    else if (fact.kind !== 'step' || fact.step % everySteps === 0) metrics.append(fact);
  };
}
