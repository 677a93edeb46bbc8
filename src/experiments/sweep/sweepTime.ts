/**
 * How long a sweep takes: before it starts from the speed of a few of its configs, and while it runs from what has been
 * done so far.
 */
import { runTime, type RunTime, type RunWork } from '../../training/plan/expectedTime.ts';
import type { PlannedRun } from './planSweep.ts';

/** Runs of one shape have steps that take equally long. */
export const shapeOf = ({ config, vocabularySize }: PlannedRun): string => {
  const { steps: _, tokens: _tokens, epochs: _epochs, guard: _guard, ...training } = config.training;
  return JSON.stringify([config.model, training, config.optimizer.kind, config.corpus.packing, vocabularySize]);
};

const stepFlops = ({ plan }: PlannedRun): number => plan.tokensPerStep * plan.flopsPerToken;

/**
 * Milliseconds a step by shape, from runs of this sweep that have been trained already.
 * Runs at the same time share the cores, so this hardly depends on `--jobs`.
 */
export function knownSpeeds(planned: readonly PlannedRun[]): Map<string, number> {
  const speeds = new Map<string, number>();
  for (const run of planned) {
    const { tokensPerSecond } = run.summary;
    if (tokensPerSecond !== null) speeds.set(shapeOf(run), (1000 * run.plan.tokensPerStep) / tokensPerSecond);
  }
  return speeds;
}

/** A run of each shape whose speed has to be measured; of many shapes `most`, from the smallest to the largest. */
export function runsToMeasure(
  planned: readonly PlannedRun[],
  known: ReadonlyMap<string, number>,
  most: number,
): PlannedRun[] {
  const byShape = new Map(planned.filter(({ work }) => work.steps > 0).map((run) => [shapeOf(run), run]));
  const unknown = [...byShape].filter(([shape]) => !known.has(shape)).map(([, run]) => run);
  const sorted = unknown.sort((a, b) => stepFlops(a) - stepFlops(b));
  if (sorted.length <= most) return sorted;
  return Array.from({ length: most }, (_, i) => sorted[Math.round((i * (sorted.length - 1)) / (most - 1))]!);
}

/**
 * The time of each run, by its name. A shape that has not been measured is as fast as the measured one that is nearest
 * in size. @param speeds milliseconds a step by shape; not empty
 */
export function expectedRuns(
  planned: readonly PlannedRun[],
  speeds: ReadonlyMap<string, number>,
): Map<string, RunTime> {
  const measured = planned.filter((run) => speeds.has(shapeOf(run)));
  const msPerStepOf = (run: PlannedRun): number => {
    const own = speeds.get(shapeOf(run));
    if (own !== undefined) return own;
    const distance = (other: PlannedRun): number => Math.abs(Math.log(stepFlops(other) / stepFlops(run)));
    const nearest = measured.reduce((best, other) => (distance(other) < distance(best) ? other : best));
    return (speeds.get(shapeOf(nearest))! * stepFlops(run)) / stepFlops(nearest);
  };
  return new Map(
    planned.map((run) => {
      const { prepareMs } = run;
      return [run.name, runTime(run.work, run.config, run.plan, { msPerStep: msPerStepOf(run), prepareMs })];
    }),
  );
}

/** Runs at the same time share the cores; only their starts overlap. */
export function expectedTotalMs(runs: Iterable<RunTime>, jobs: number): number {
  const all = [...runs];
  const sum = all.reduce((total, { wholeMs, startMs }) => total + wholeMs - startMs + startMs / jobs, 0);
  return Math.max(sum, ...all.map(({ wholeMs }) => wholeMs));
}

/** A run of a sweep that is under way. */
export interface RunProgress {
  expected: RunTime;
  /** Share of its time, from 0 to 1. */
  share: number;
}

/**
 * How much of a run is done, of what comes before its steps (its start, and the evaluation of step 0) and of its steps;
 * everything else is spread over the steps.
 * @param madeShare of the steps that this process has to make @param elapsedMs since it was started
 * @param evaluationsBefore of step 0: 1 for a new run, 0 for one that is continued
 */
export function shareOfRun(
  { expected, work }: { expected: RunTime; work: Pick<RunWork, 'evaluations'> },
  madeShare: number,
  elapsedMs: number,
  evaluationsBefore: 0 | 1,
): number {
  const { startMs, evaluationsMs, wholeMs } = expected;
  if (wholeMs === 0) return 1;
  const beforeMs = startMs + (evaluationsBefore * evaluationsMs) / Math.max(1, work.evaluations);
  const doneMs = madeShare > 0 ? beforeMs + madeShare * (wholeMs - beforeMs) : Math.min(beforeMs, elapsedMs);
  return Math.min(1, doneMs / wholeMs);
}

/** The expectation weighs as much as this share of the whole time that has been observed. */
const trustInExpectation = 0.15;

/**
 * The time that is left, by the expectation, corrected by how long the work done so far has taken.
 * @param expectedMs of the whole sweep @param elapsedMs since it began
 */
export function remainingMs(runs: readonly RunProgress[], expectedMs: number, elapsedMs: number): number {
  const [allMs, doneMs] = [0, 0].map((_, i) =>
    runs.reduce((sum, { expected, share }) => sum + expected.wholeMs * (i === 0 ? 1 : share), 0),
  ) as [number, number];
  if (allMs === 0) return 0;
  const [priorMs, priorWork] = [trustInExpectation * expectedMs, trustInExpectation * allMs];
  const msPerWork = (priorMs + elapsedMs) / (priorWork + doneMs);
  return (allMs - doneMs) * msPerWork;
}
