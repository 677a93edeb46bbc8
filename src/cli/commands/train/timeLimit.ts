/** `--max-time`: training stops, and has saved, before the time is up. */
import { wrongInput } from '../../../errors.ts';

const unitSeconds: Record<string, number> = { d: 86_400, h: 3600, m: 60, min: 60, s: 1 };

/** Milliseconds of `3h`, `1h30m`, `90min` or `45s`. @throws wrongInput for anything else */
export function parseDuration(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)\s*(d|h|min|m|s)\s*/g)];
  const isWhole = parts.length > 0 && parts.map(([part]) => part).join('') === text;
  const seconds = parts.reduce((sum, [, count, unit]) => sum + Number(count) * unitSeconds[unit!]!, 0);
  if (isWhole && seconds > 0) return seconds * 1000;
  throw wrongInput(`--max-time is "${text}"; write a duration as 3h, 1h30m, 90min or 45s`);
}

export interface TimeLimit {
  /** Tells a generous guess of what saving takes; before there is a model, there is nothing to save. */
  savingTakes(ms: number): void;
  /** Tells how long a step took, which is how far ahead the stop must come. */
  stepTook(ms: number): void;
  close(): void;
}

/**
 * Calls `stop` so early that a step under way and a save still fit.
 * @param maxMs counted from the start of the process
 */
export function startTimeLimit(maxMs: number, stop: () => void): TimeLimit {
  let longestStepMs = 0;
  let saveMs = 0;
  let timer: NodeJS.Timeout;
  const arm = (): void => {
    const leftMs = maxMs - process.uptime() * 1000 - 2 * longestStepMs - saveMs;
    clearTimeout(timer);
    // A timer holds no more than 2³¹ ms: a longer wait is taken up again on the way.
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
