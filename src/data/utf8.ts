/**
 * UTF-8 byte by byte (RFC 3629, section 3), because making strings of a corpus takes too long: where characters begin
 * and end, which bytes are malformed, and how malformed ones are replaced.
 */
import { isUtf8 } from 'node:buffer';

/** The most bytes that a character cut off at its end can have. */
export const maximumPartialBytes = 3;

/**
 * What to do with bytes that are not UTF-8: refuse the file, replace them by U+FFFD as decoders do, or leave them out.
 */
export type EncodingErrors = 'error' | 'replace' | 'skip';

/** How many of the first `length` bytes are whole characters: all but a character cut off at the end. */
export function wholeCharacterBytes(bytes: Uint8Array, length: number): number {
  for (let back = 1; back <= Math.min(maximumPartialBytes, length); back++) {
    const byte = bytes[length - back]!;
    if ((byte & 0xc0) !== 0x80) return sequenceLength(byte) > back ? length - back : length;
  }
  return length;
}

/** Index of the first byte that does not begin a well-formed character, or −1. */
export function firstBadByte(bytes: Uint8Array): number {
  if (isUtf8(bytes)) return -1;
  let at = 0;
  for (let length = characterAt(bytes, at); length > 0; length = characterAt(bytes, at)) at += length;
  return at;
}

interface RepairedText {
  readonly bytes: Uint8Array;
  readonly badBytes: number;
  /** Where the bytes of the text come from. Ascending. */
  readonly sourceOffsets: readonly SourceOffset[];
}

/** From `index` of a text on, its bytes are those from position `byte` of the source on, until the next entry. */
export interface SourceOffset {
  readonly index: number;
  readonly byte: number;
}

/**
 * The text without its bad bytes, or with them replaced by U+FFFD as a decoder of the Encoding Standard does it
 * (https://encoding.spec.whatwg.org/#utf-8-decoder). Takes O(bytes), however many are bad.
 */
export function repaired(bytes: Uint8Array, how: 'replace' | 'skip'): RepairedText {
  const parts: Uint8Array[] = [];
  const sourceOffsets: SourceOffset[] = [{ index: 0, byte: 0 }];
  if (isUtf8(bytes)) return { bytes, badBytes: 0, sourceOffsets };
  let badBytes = 0;
  let start = 0; // of the well-formed text not yet in `parts`
  let index = 0;
  for (let at = 0; at < bytes.length; ) {
    const length = characterAt(bytes, at);
    if (length > 0) {
      at += length;
      continue;
    }
    parts.push(bytes.subarray(start, at));
    index += at - start;
    if (how === 'replace') {
      parts.push(replacementCharacter);
      index += replacementCharacter.length;
    }
    badBytes -= length;
    at -= length;
    start = at;
    sourceOffsets.push({ index, byte: start });
  }
  return { bytes: Buffer.concat([...parts, bytes.subarray(start)]), badBytes, sourceOffsets };
}

/** Position in the source of the byte at `index` of a text. */
export function sourceByteAt(sourceOffsets: readonly SourceOffset[], index: number): number {
  let at = sourceOffsets.length - 1;
  while (at > 0 && sourceOffsets[at]!.index > index) at--;
  return sourceOffsets[at]!.byte + index - sourceOffsets[at]!.index;
}

const replacementCharacter = Buffer.from('\uFFFD');

/**
 * Bytes of the well-formed character at `at` (The Unicode Standard, table 3-7). If there is none: minus the number of
 * bytes that could begin one, at least −1.
 */
function characterAt(bytes: Uint8Array, at: number): number {
  const lead = bytes[at]!;
  if (lead < 0x80) return 1;
  const length = sequenceLength(lead);
  if (length === 1) return -1;
  // The second byte tells overlong forms, surrogates and code points beyond U+10FFFF.
  const lowest = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const highest = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  for (let i = 1; i < length; i++) {
    const byte = bytes[at + i]; // undefined at the end of the text
    if (byte === undefined || byte < (i === 1 ? lowest : 0x80) || byte > (i === 1 ? highest : 0xbf)) return -i;
  }
  return length;
}

/** Bytes of the character that begins with `lead`; 1 for a byte that cannot begin one. */
export function sequenceLength(lead: number): number {
  if (lead < 0xc2 || lead > 0xf4) return 1;
  return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/** The code point that begins at `at` of well-formed UTF-8. */
export function codePointAt(utf8: Uint8Array, at: number): number {
  const lead = utf8[at]!;
  if (lead < 0x80) return lead;
  const second = utf8[at + 1]! & 0x3f;
  if (lead < 0xe0) return ((lead & 0x1f) << 6) | second;
  const third = utf8[at + 2]! & 0x3f;
  if (lead < 0xf0) return ((lead & 0x0f) << 12) | (second << 6) | third;
  return ((lead & 0x07) << 18) | (second << 12) | (third << 6) | (utf8[at + 3]! & 0x3f);
}

/** The start of the character before the one at `at` > 0 of well-formed UTF-8. */
export function previousCharacter(utf8: Uint8Array, at: number): number {
  let start = at - 1;
  while ((utf8[start]! & 0xc0) === 0x80) start--;
  return start;
}
