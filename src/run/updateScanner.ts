/**
 * Parses the step records of `metrics.jsonl` without JSON.parse, which would take two thirds of the time of a report:
 * twenty runs of 100,000 updates are 300 MB. Numbers are exact to about one part in 10¹⁵, enough for curves; lines that
 * clm did not write like this are left to JSON.parse.
 */

/** The numbers of one step record; NaN for those that are missing. */
export interface ScannedUpdate {
  step: number;
  loss: number;
  learningRate: number;
  gradientNorm: number;
  tokensPerSecond: number;
  elapsedMs: number;
}

const start = Buffer.from('{"kind":"step",');
const [quote, colon, comma, brace, minus, plus, point, lowerE, upperE, zero, nine] = [...'":,}-+.eE09'].map(
  (character) => character.charCodeAt(0),
) as [number, number, number, number, number, number, number, number, number, number, number];
const [stepName, lossName, learningRateName, gradientNormName, tokensPerSecondName, elapsedMsName] = (
  ['step', 'loss', 'learningRate', 'gradientNorm', 'tokensPerSecond', 'elapsedMs'] satisfies (keyof ScannedUpdate)[]
).map((name) => Buffer.from(name)) as [Buffer, Buffer, Buffer, Buffer, Buffer, Buffer];

/**
 * Parses the line from `at` to `end` into `update`.
 * @returns false if it is not a step record, or has anything but numbers
 */
export function scanUpdate(bytes: Buffer, at: number, end: number, update: ScannedUpdate): boolean {
  for (let i = 0; i < start.length; i++) if (bytes[at + i] !== start[i]) return false;
  update.step =
    update.loss =
    update.learningRate =
    update.gradientNorm =
    update.tokensPerSecond =
    update.elapsedMs =
      NaN;
  for (let i = at + start.length; i < end; ) {
    if (bytes[i] !== quote) return false;
    const nameStart = i + 1;
    for (i = nameStart; i < end && bytes[i] !== quote; ) i++;
    const nameEnd = i;
    if (bytes[i + 1] !== colon) return false;
    const value = numberAt(bytes, i + 2, end);
    if (Number.isNaN(value)) return false;
    setValue(update, bytes, nameStart, nameEnd, value);
    i = numberEnd;
    if (bytes[i] === brace) return i === end - 1;
    if (bytes[i] !== comma) return false;
    i++;
  }
  return false;
}

/** Assigns properties by literal names: a computed name would cost as much as all the rest. */
function setValue(update: ScannedUpdate, bytes: Buffer, from: number, to: number, value: number): void {
  if (isName(stepName, bytes, from, to)) update.step = value;
  else if (isName(lossName, bytes, from, to)) update.loss = value;
  else if (isName(learningRateName, bytes, from, to)) update.learningRate = value;
  else if (isName(gradientNormName, bytes, from, to)) update.gradientNorm = value;
  else if (isName(tokensPerSecondName, bytes, from, to)) update.tokensPerSecond = value;
  else if (isName(elapsedMsName, bytes, from, to)) update.elapsedMs = value;
}

function isName(name: Buffer, bytes: Buffer, from: number, to: number): boolean {
  if (name.length !== to - from) return false;
  for (let i = 0; i < name.length; i++) if (name[i] !== bytes[from + i]) return false;
  return true;
}

/** 1 to 10²², exact in doubles; in a table because computing one takes longer than parsing a number. */
const exactPowers = Float64Array.from({ length: 23 }, (_, i) => Number(`1e${i}`));

/** End of the number that `numberAt` parsed last. */
let numberEnd = 0;

/**
 * The JSON number that begins at `from`, or NaN if there is none. Digits beyond the 17th are ignored.
 */
function numberAt(bytes: Buffer, from: number, end: number): number {
  let i = from;
  const isNegative = bytes[i] === minus;
  if (isNegative) i++;
  let mantissa = 0;
  let exponent = 0;
  let fraction = 0;
  const digitsStart = i;
  for (; i < end; i++) {
    const byte = bytes[i]!;
    if (byte >= zero && byte <= nine) {
      if (mantissa < 1e16) {
        mantissa = 10 * mantissa + (byte - zero);
        exponent -= fraction;
      } else exponent += 1 - fraction;
    } else if (byte === point && fraction === 0) fraction = 1;
    else break;
  }
  if (i - digitsStart - fraction <= 0) return NaN;
  if (bytes[i] === lowerE || bytes[i] === upperE) {
    i++;
    const isSmall = bytes[i] === minus;
    if (isSmall || bytes[i] === plus) i++;
    let written = 0;
    for (; i < end && bytes[i]! >= zero && bytes[i]! <= nine; i++) written = 10 * written + (bytes[i]! - zero);
    exponent += isSmall ? -written : written;
  }
  numberEnd = i;
  const power = exponent < 0 ? -exponent : exponent;
  const scale = power < exactPowers.length ? exactPowers[power]! : 10 ** power;
  const size = exponent < 0 ? mantissa / scale : mantissa * scale; // rounds once for the mantissa and once here
  return isNegative ? -size : size;
}
