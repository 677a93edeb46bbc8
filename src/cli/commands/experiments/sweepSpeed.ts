/** The time that a sweep takes: from its runs that have been trained, and by measuring steps of the others. */
import { meanStep } from '../../../training/plan/stages.ts';
import { measureTraining } from '../../../checks/measurement.ts';
import { ExpectedError } from '../../../errors.ts';
import type { PlannedRun } from '../../../experiments/sweep/planSweep.ts';
import { shareTrained } from '../../../experiments/sweep/halving.ts';
import type { Halving } from '../../../experiments/sweep/sweepFile.ts';
import {
  expectedRuns,
  expectedTotalMs,
  knownSpeeds,
  runsToMeasure,
  shapeOf,
} from '../../../experiments/sweep/sweepTime.ts';
import type { RunTime } from '../../../training/plan/expectedTime.ts';

export interface ExpectedSweep {
  wholeMs: number;
  /** By the name of the run; nothing is left of runs that are done. */
  runs: ReadonlyMap<string, RunTime>;
}

/** Different sizes of model or step that are measured, and for how long each at most. */
const [mostMeasured, measureMs] = [6, 10_000];

interface MeasuredSweep {
  jobs: number;
  halving: Halving | null;
  say: (text: string) => unknown;
  signal: AbortSignal;
}

/** Null if this machine cannot be measured: the runs will say why. */
export async function expectedSweep(
  planned: readonly PlannedRun[],
  { jobs, halving, say, signal }: MeasuredSweep,
): Promise<ExpectedSweep | null> {
  const speeds = knownSpeeds(planned);
  const measured = runsToMeasure(planned, speeds, mostMeasured);
  if (measured.length > 0)
    say(`measuring the training speed of ${measured.length === 1 ? 'one config' : `${measured.length} configs`}`);
  try {
    for (const run of measured) {
      const { msPerStep } = await measureTraining(run.config, run.vocabularySize, { maxMs: measureMs, signal });
      if (msPerStep !== null) speeds.set(shapeOf(run), msPerStep * meanStep(run.plan));
    }
  } catch (error) {
    if (!(error instanceof ExpectedError) && !signal.aborted) throw error;
  }
  if (speeds.size === 0 && measured.length > 0) return null;
  const runs = expectedRuns(planned, speeds);
  const share = halving === null ? 1 : shareTrained(halving, planned);
  return { runs, wholeMs: share * expectedTotalMs(runs.values(), jobs) };
}
