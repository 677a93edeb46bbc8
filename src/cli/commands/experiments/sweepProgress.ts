/** How far a sweep is: a line that is drawn over on a terminal, elsewhere a line now and then. */
import path from 'node:path';
import type { PlannedRun } from '../../../experiments/sweep/planSweep.ts';
import type { SweepEvent } from '../../../experiments/sweep/runSweep.ts';
import { remainingMs, shareOfRun } from '../../../experiments/sweep/sweepTime.ts';
import { summarizeRun, type RunSummary } from '../../../experiments/runSummary.ts';
import { timeText } from '../../../units.ts';
import { canRedraw } from '../../terminal/abilities.ts';
import { clearLive, showLive } from '../../terminal/liveLine.ts';
import { grouped, note } from '../../terminal/output.ts';
import { lossText } from '../../terminal/table.ts';
import type { ExpectedSweep } from './sweepSpeed.ts';

export interface SweepProgress {
  report(event: SweepEvent): void;
  close(): void;
}

const drawIntervalMs = 500;
/** Plain lines: the first soon, so that one sees that it works, then seldom. */
const [firstLineMs, lineIntervalMs] = [10_000, 60_000];

/** A run that is being trained. */
interface Running {
  startedMs: number;
  /** Updates that it had before. */
  made: number;
}

export function openSweepProgress(
  planned: readonly PlannedRun[],
  { output, expected, isQuiet }: { output: string; expected: ExpectedSweep | null; isQuiet: boolean },
): SweepProgress {
  const beganMs = performance.now();
  const running = new Map<string, Running>();
  const ended = new Set<string>();
  const isDrawn = canRedraw(process.stderr);
  let nextLineMs = firstLineMs;

  const show = (): void => {
    const elapsedMs = performance.now() - beganMs;
    if (running.size === 0 || (!isDrawn && elapsedMs < nextLineMs)) return;
    const summaries = new Map([...running.keys()].map((name) => [name, summarizeRun(path.join(output, name))]));
    const left = expected === null ? null : leftMs(expected, summaries, elapsedMs);
    const line = progressText(ended.size, planned.length, left, [...summaries.values()]);
    nextLineMs = elapsedMs + lineIntervalMs;
    if (isDrawn) showLive(line);
    else note(line);
  };
  const leftMs = (all: ExpectedSweep, summaries: ReadonlyMap<string, RunSummary>, elapsedMs: number): number => {
    const runs = planned.map((run) => {
      const time = all.runs.get(run.name)!;
      const [started, summary] = [running.get(run.name), summaries.get(run.name)];
      if (ended.has(run.name)) return { expected: time, share: 1 };
      if (started === undefined || summary === undefined) return { expected: time, share: 0 };
      const madeShare = (summary.step - started.made) / Math.max(1, run.plan.steps - started.made);
      const ownMs = performance.now() - started.startedMs;
      const evaluationsBefore = started.made === 0 ? 1 : 0;
      return {
        expected: time,
        share: shareOfRun({ expected: time, work: run.work }, madeShare, ownMs, evaluationsBefore),
      };
    });
    return remainingMs(runs, all.wholeMs, elapsedMs);
  };

  const timer = isQuiet ? undefined : setInterval(show, drawIntervalMs).unref();
  return {
    report: (event) => {
      if (event.kind === 'warning') return;
      if (event.kind === 'halving') return event.dropped.forEach((run) => ended.add(run));
      running.delete(event.run);
      if (event.kind !== 'started') {
        if (event.kind !== 'paused') ended.add(event.run);
        clearLive(); // or it would be drawn again as it was, below what is said of the run that has ended
      } else
        running.set(event.run, { startedMs: performance.now(), made: summarizeRun(path.join(output, event.run)).step });
    },
    close: () => {
      clearInterval(timer);
      clearLive();
    },
  };
}

/**
 * The whole sweep first, then the runs under way, as many as fit the line: `[3/9] about 4 min left; seed-2: step
 * 340/2,000, loss 2.3101`.
 */
export function progressText(
  ended: number,
  runs: number,
  leftMs: number | null,
  running: readonly Pick<RunSummary, 'name' | 'step' | 'steps' | 'loss'>[],
): string {
  const time = leftMs === null ? '' : ` about ${timeText(leftMs)} left`;
  const parts = running.map(({ name, step, steps, loss }) => {
    const of = steps === null ? '' : `/${grouped(steps)}`;
    return `${name}: step ${grouped(step)}${of}${loss === null ? '' : `, loss ${lossText(loss)}`}`;
  });
  return [`[${ended}/${runs}]${time}`, ...parts].join('; ');
}
