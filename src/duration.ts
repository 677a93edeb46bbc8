/** Durations, as `--max-time` and `--measure` take them; steps or durations, as `--until` does. */
import { wrongInput } from './errors.ts';

const unitSeconds: Record<string, number> = { d: 86_400, h: 3600, m: 60, min: 60, s: 1 };

/** Milliseconds of e.g. `3h`, `1h30m`, `90min` or `45s`. @throws wrongInput for anything else */
export function parseDuration(text: string, option = '--max-time'): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)\s*(d|h|min|m|s)\s*/g)];
  const isWhole = parts.length > 0 && parts.map(([part]) => part).join('') === text;
  const seconds = parts.reduce((sum, [, count, unit]) => sum + Number(count) * unitSeconds[unit!]!, 0);
  if (isWhole && seconds > 0) return seconds * 1000;
  throw wrongInput(`${option} must be a duration such as 3h, 1h30m, 90min or 45s, and more than 0, not "${text}"`);
}

/** Milliseconds of a duration, or of a bare number of seconds. @throws wrongInput for anything else, and for 0 */
export const parseSeconds = (text: string, option: string): number =>
  parseDuration(/^\d+(\.\d+)?$/.test(text) ? `${text}s` : text, option);

/** A number of steps, or a duration of training. @throws wrongInput for anything else, and for 0 */
export function parseUntil(value: string): { text: string; step?: number; trainedMs?: number } {
  const text = `--until ${value}`;
  if (/^\d/.test(value) && Number(value) >= 1 && Number.isSafeInteger(Number(value)))
    return { text, step: Number(value) };
  if (/^\d.*(d|h|m|min|s)$/.test(value)) return { text, trainedMs: parseDuration(value, '--until') };
  throw wrongInput(`--until must be a number of steps, such as 500, or a duration, such as 10min, not "${value}"`);
}
