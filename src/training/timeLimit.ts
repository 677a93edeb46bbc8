/**
 * Limits of training besides its length: a time limit of the process, early enough for the current step and a save, and
 * a point at which the run pauses, evaluated and saved.
 */

/** Where a run pauses: after this many updates, or after this much training in all its processes. */
export interface PausePoint {
  /** As it was asked for, e.g. `--until 500`: the reason of the stop. */
  text: string;
  step?: number;
  trainedMs?: number;
}

/**
 * Whether a run pauses after a step.
 * @param earlierMs of training in earlier processes @param beganMs when this one began (performance.now())
 * @returns the reason after `step` updates, or null
 */
export const pauseAt =
  (point: PausePoint | undefined, earlierMs: number, beganMs: number) =>
  (step: number): string | null => {
    if (point === undefined) return null;
    const { text, step: last = Infinity, trainedMs = Infinity } = point;
    return step >= last || earlierMs + performance.now() - beganMs >= trainedMs ? text : null;
  };

export interface TimeLimit {
  /** Sets a generous estimate of how long saving takes; 0 before there is a model to save. */
  savingTakes(ms: number): void;
  /** Records how long a step took: the stop must come at least that early. */
  stepTook(ms: number): void;
  close(): void;
}

/** Parameters and two AdamW moments, 4 bytes each, written at 20 MB/s; one second for everything else. */
export const savingTakesMs = (parameters: number): number => 1000 + (parameters * 12) / 20_000;

/**
 * Calls `stop` early enough for the current step and a save.
 * @param maxMs counted from `beganMs`
 * @param beganMs a time of performance.now(), which is 0 at the start of the process
 */
export function startTimeLimit(maxMs: number, beganMs: number, stop: () => void): TimeLimit {
  let longestStepMs = 0;
  let saveMs = 0;
  let timer: NodeJS.Timeout;
  const arm = (): void => {
    const leftMs = maxMs - (performance.now() - beganMs) - 2 * longestStepMs - saveMs;
    clearTimeout(timer);
    // Node's timers take at most 2³¹ ms: a longer wait is split.
    timer = leftMs > 2 ** 30 ? setTimeout(arm, 2 ** 30) : setTimeout(stop, Math.max(0, leftMs));
    timer.unref();
  };
  arm();
  return {
    savingTakes: (ms) => {
      saveMs = ms;
      arm();
    },
    stepTook: (ms) => {
      if (ms <= longestStepMs) return;
      longestStepMs = ms;
      arm();
    },
    close: () => clearTimeout(timer),
  };
}
