/**
 * Which characters are letters, numbers, whitespace: what the patterns of pre-tokenisation ask. One byte of flags for
 * every code point, made once a process from the regular expressions of the running Node, and so of its Unicode version.
 */

/** \p{L} */
export const letter = 1;
/** \p{N} */
export const number = 2;
/** \s as Hugging Face's tokenizers has it: White_Space, which is not JavaScript's \s (U+0085 is in, U+FEFF is not). */
export const space = 4;
/** \r or \n; also `space`. */
export const newline = 8;

const codePoints = 0x110000;
const firstSurrogate = 0xd800;
const lastSurrogate = 0xdfff;
let flags: Uint8Array | undefined;

/** Flags of every code point, by code point. */
export function characterFlags(): Uint8Array {
  if (flags !== undefined) return flags;
  flags = new Uint8Array(codePoints);
  const blockSize = 0x1000;
  for (let first = 0; first < codePoints; first += blockSize) {
    const codes = Array.from({ length: blockSize }, (_, i) => first + i);
    if (first <= lastSurrogate && first + blockSize > firstSurrogate) {
      for (const [i, code] of codes.entries()) if (code >= firstSurrogate && code <= lastSurrogate) codes[i] = 0;
    }
    const text = String.fromCodePoint(...codes);
    const unitsPerCharacter = first < 0x10000 ? 1 : 2;
    for (const [pattern, flag] of [[/\p{L}+/gu, letter], [/\p{N}+/gu, number], [/\p{White_Space}+/gu, space]] as const) {
      for (const { 0: run, index } of text.matchAll(pattern)) {
        const start = first + index / unitsPerCharacter;
        for (let code = start; code < start + run.length / unitsPerCharacter; code++) flags[code]! |= flag;
      }
    }
  }
  flags[0x0a]! |= newline;
  flags[0x0d]! |= newline;
  return flags;
}
