/** `--max-time`: saves and stops training before the time limit. */
import { wrongInput } from '../../../errors.ts';

const unitSeconds: Record<string, number> = { d: 86_400, h: 3600, m: 60, min: 60, s: 1 };

/** Milliseconds of e.g. `3h`, `1h30m`, `90min` or `45s`. @throws wrongInput for anything else */
export function parseDuration(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)\s*(d|h|min|m|s)\s*/g)];
  const isWhole = parts.length > 0 && parts.map(([part]) => part).join('') === text;
  const seconds = parts.reduce((sum, [, count, unit]) => sum + Number(count) * unitSeconds[unit!]!, 0);
  if (isWhole && seconds > 0) return seconds * 1000;
  throw wrongInput(`--max-time must be a duration such as 3h, 1h30m, 90min or 45s, not "${text}"`);
}

export interface TimeLimit {
  /** Sets a generous estimate of how long saving takes; 0 before there is a model to save. */
  savingTakes(ms: number): void;
  /** Records how long a step took: the stop must come at least that early. */
  stepTook(ms: number): void;
  close(): void;
}

/**
 * Calls `stop` early enough for the current step and a save.
 * @param maxMs counted from the start of the process
 */
export function startTimeLimit(maxMs: number, stop: () => void): TimeLimit {
  let longestStepMs = 0;
  let saveMs = 0;
  let timer: NodeJS.Timeout;
  const arm = (): void => {
    const leftMs = maxMs - process.uptime() * 1000 - 2 * longestStepMs - saveMs;
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
