/**
 * The step records of `metrics.jsonl` without JSON.parse, which takes two thirds of the time of a report: twenty runs
 * of 100,000 updates are 300 MB. Numbers are right to about one part in 10¹⁵, enough for curves; a line that is not as
 * clm writes it is left to JSON.parse.
 */

/** The numbers of one step record; NaN for those it has not. */
export interface ScannedUpdate {
  step: number;
  loss: number;
  learningRate: number;
  gradientNorm: number;
  tokensPerSecond: number;
  elapsedMs: number;
}

const start = Buffer.from('{"kind":"step",');
const [quote, colon, comma, brace, minus, plus, point, lowerE, upperE, zero, nine] = Buffer.from('":,}-+.eE09');
const keys = ['step', 'loss', 'learningRate', 'gradientNorm', 'tokensPerSecond', 'elapsedMs'] as const;
const keyBytes = keys.map((key) => Buffer.from(key));

/**
 * Reads the line from `at` to `end` into `update`.
 * @returns false where it is no step record, or holds anything but numbers
 */
export function scanUpdate(bytes: Buffer, at: number, end: number, update: ScannedUpdate): boolean {
  for (let i = 0; i < start.length; i++) if (bytes[at + i] !== start[i]) return false;
  for (const key of keys) update[key] = NaN;
  for (let i = at + start.length; i < end; ) {
    if (bytes[i] !== quote) return false;
    const nameStart = i + 1;
    for (i = nameStart; i < end && bytes[i] !== quote; ) i++;
    const key = keyAt(bytes, nameStart, i);
    if (bytes[i + 1] !== colon) return false;
    i += 2;
    const valueStart = i;
    while (i < end && bytes[i] !== comma && bytes[i] !== brace) i++;
    const value = numberIn(bytes, valueStart, i);
    if (Number.isNaN(value)) return false;
    if (key !== undefined) update[key] = value;
    if (bytes[i] === brace) return i === end - 1;
    i++;
  }
  return false;
}

function keyAt(bytes: Buffer, from: number, to: number): (typeof keys)[number] | undefined {
  for (let k = 0; k < keys.length; k++) {
    const name = keyBytes[k]!;
    if (name.length !== to - from || name[0] !== bytes[from]) continue;
    let i = 1;
    while (i < name.length && name[i] === bytes[from + i]) i++;
    if (i === name.length) return keys[k];
  }
  return undefined;
}

/** A JSON number, or NaN where there is something else. Digits beyond the 17th change nothing. */
function numberIn(bytes: Buffer, from: number, to: number): number {
  let i = from;
  const sign = bytes[i] === minus ? -1 : 1;
  if (sign < 0) i++;
  let mantissa = 0;
  let digits = 0;
  let exponent = 0;
  let pointAt = -1;
  for (; i < to; i++) {
    const byte = bytes[i]!;
    if (byte >= zero! && byte <= nine!) {
      if (mantissa < 1e16) {
        mantissa = 10 * mantissa + (byte - zero!);
        if (pointAt >= 0) exponent--;
      } else if (pointAt < 0) exponent++;
      digits++;
    } else if (byte === point && pointAt < 0) pointAt = i;
    else break;
  }
  if (digits === 0) return NaN;
  if (i < to && (bytes[i] === lowerE || bytes[i] === upperE)) {
    i++;
    const exponentSign = bytes[i] === minus ? -1 : 1;
    if (bytes[i] === minus || bytes[i] === plus) i++;
    let value = 0;
    for (; i < to && bytes[i]! >= zero! && bytes[i]! <= nine!; i++) value = 10 * value + (bytes[i]! - zero!);
    exponent += exponentSign * value;
  }
  if (i !== to) return NaN;
  // Powers of ten up to 10²² are exact, so this rounds once for the mantissa and once here.
  return sign * (exponent < 0 ? mantissa / 10 ** -exponent : mantissa * 10 ** exponent);
}
