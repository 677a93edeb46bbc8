/** A time limit of training: stops it early enough for the current step and a save. */

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
