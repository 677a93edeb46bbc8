/**
 * Which characters are letters, numbers or whitespace, for the patterns of pre-tokenization. One byte of flags for
 * every code point, made once per process from regular expressions, and so by the Unicode version of the running Node.
 */

/** \p{L} */
export const letter = 1;
/** \p{N} */
export const number = 2;
/** \s of Hugging Face's tokenizers: White_Space. Unlike JavaScript's \s it includes U+0085 and excludes U+FEFF. */
export const space = 4;
/** \r or \n; also `space`. */
export const newline = 8;
/** [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] and [\p{Ll}\p{Lm}\p{Lo}\p{M}]; letters without case and marks are both. */
export const upper = 16;
export const lower = 32;

const codePoints = 0x110000;
const planeSize = 0x10000;
/** The other planes have no letters, numbers or spaces. */
const planes = [0, 1, 2, 3, 14];
let flags: Uint8Array | undefined;
let hasCase = false;

const uncased = [
  [/\p{L}+/gu, letter],
  [/\p{N}+/gu, number],
  [/\p{White_Space}+/gu, space],
] as const;
const cased = [
  [/[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+/gu, upper],
  [/[\p{Ll}\p{Lm}\p{Lo}\p{M}]+/gu, lower],
] as const;

/** Flags by code point, without `upper` and `lower`. */
export function characterFlags(): Uint8Array {
  if (flags !== undefined) return flags;
  flags = new Uint8Array(codePoints);
  mark(flags, uncased);
  flags[0x0a]! |= newline;
  flags[0x0d]! |= newline;
  return flags;
}

/** The same with `upper` and `lower`. */
export function casedCharacterFlags(): Uint8Array {
  const marked = characterFlags();
  if (!hasCase) mark(marked, cased);
  hasCase = true;
  return marked;
}

function mark(marked: Uint8Array, classes: readonly (readonly [RegExp, number])[]): void {
  for (const plane of planes) {
    const text = textOfPlane(plane);
    const unitsPerCharacter = plane === 0 ? 1 : 2;
    for (const [pattern, flag] of classes) {
      for (const { 0: run, index } of text.matchAll(pattern)) {
        const start = plane * planeSize + index / unitsPerCharacter;
        for (let code = start; code < start + run.length / unitsPerCharacter; code++) marked[code]! |= flag;
      }
    }
  }
}

/** All characters of a plane in order, with U+0000 in place of surrogates, which are not characters. */
function textOfPlane(plane: number): string {
  const units = new Uint16Array(plane === 0 ? planeSize : 2 * planeSize);
  for (let i = 0; i < planeSize; i++) {
    if (plane === 0) {
      units[i] = i >= 0xd800 && i <= 0xdfff ? 0 : i; // U+0000 has none of the flags
      continue;
    }
    const offset = (plane - 1) * planeSize + i;
    units[2 * i] = 0xd800 + (offset >> 10);
    units[2 * i + 1] = 0xdc00 + (offset & 0x3ff);
  }
  return Buffer.from(units.buffer).toString('utf16le');
}
