/**
 * UTF-8 byte by byte (RFC 3629, section 3), because making strings of a corpus takes too long: where characters begin
 * and end, which bytes are malformed, and how malformed ones are replaced.
 */
import { isUtf8 } from 'node:buffer';

/** Bytes that the beginning of a character can have without its end. */
export const longestRest = 3;

/** What becomes of bytes that are no UTF-8: a refusal, U+FFFD as decoders put it, or nothing. */
export type EncodingErrors = 'error' | 'replace' | 'skip';

/** How many of the first `length` bytes are left when a character that is cut off at the end is taken away. */
export function wholeCharacters(bytes: Uint8Array, length: number): number {
  for (let back = 1; back <= Math.min(longestRest, length); back++) {
    const byte = bytes[length - back]!;
    if ((byte & 0xc0) !== 0x80) return sequenceLength(byte) > back ? length - back : length;
  }
  return length;
}

/** The first byte that begins no well-formed character, or −1. */
export function firstBadByte(bytes: Uint8Array): number {
  if (isUtf8(bytes)) return -1;
  let at = 0;
  for (let length = characterAt(bytes, at); length > 0; length = characterAt(bytes, at)) at += length;
  return at;
}

interface MendedText {
  readonly bytes: Uint8Array;
  readonly badBytes: number;
  /** Where the bytes of the text stood: from index `index` on they are those from `byte` on, up to the next entry. */
  readonly places: readonly Place[];
}

export interface Place {
  readonly index: number;
  readonly byte: number;
}

/**
 * The text without its bad bytes, or with U+FFFD for each stretch of them that a decoder of the Encoding Standard
 * (https://encoding.spec.whatwg.org/#utf-8-decoder) replaces by one. Takes time in proportion, however many they are.
 */
export function mended(bytes: Uint8Array, how: 'replace' | 'skip'): MendedText {
  const parts: Uint8Array[] = [];
  const places: Place[] = [{ index: 0, byte: 0 }];
  if (isUtf8(bytes)) return { bytes, badBytes: 0, places };
  let badBytes = 0;
  let start = 0; // of the well-formed text that has not been taken yet
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
    places.push({ index, byte: start });
  }
  return { bytes: Buffer.concat([...parts, bytes.subarray(start)]), badBytes, places };
}

/** Where the byte at `index` of a text stood. */
export function byteAt(places: readonly Place[], index: number): number {
  let at = places.length - 1;
  while (at > 0 && places[at]!.index > index) at--;
  return places[at]!.byte + index - places[at]!.index;
}

const replacementCharacter = Buffer.from('\uFFFD');

/**
 * Bytes of the well-formed character at `at` (The Unicode Standard, table 3-7). Where there is none, minus the bytes
 * that could have begun one and, if none could, −1.
 */
function characterAt(bytes: Uint8Array, at: number): number {
  const lead = bytes[at]!;
  if (lead < 0x80) return 1;
  const length = sequenceLength(lead);
  if (length === 1) return -1;
  // Overlong forms, surrogates and what lies beyond U+10FFFF show in the second byte.
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
