/** Well-formed UTF-8 (RFC 3629, section 3): where characters end, where they are bad, and how bad ones are mended. */
import { isUtf8 } from 'node:buffer';

/** Bytes that the beginning of a character can have without its end. */
export const longestRest = 3;

/** What becomes of bytes that are no UTF-8: a refusal, U+FFFD for each, or nothing. */
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
export function firstBadByte(bytes: Uint8Array, from = 0): number {
  if (isUtf8(bytes.subarray(from))) return -1;
  for (let at = from; ; ) {
    const length = sequenceLength(bytes[at]!);
    if (at + length > bytes.length || !isUtf8(bytes.subarray(at, at + length))) return at;
    at += length;
  }
}

export interface MendedText {
  readonly bytes: Uint8Array;
  readonly badBytes: number;
  /** Where the bytes of the text stood: from index `index` on they are those from `byte` on, up to the next entry. */
  readonly places: readonly Place[];
}

export interface Place {
  readonly index: number;
  readonly byte: number;
}

/** The text with every bad byte replaced or left out. */
export function mended(bytes: Uint8Array, how: 'replace' | 'skip'): MendedText {
  const parts: Uint8Array[] = [];
  const places: Place[] = [{ index: 0, byte: 0 }];
  let badBytes = 0;
  let start = 0;
  let index = 0;
  for (let bad = firstBadByte(bytes); bad >= 0; bad = firstBadByte(bytes, start)) {
    parts.push(bytes.subarray(start, bad));
    index += bad - start;
    if (how === 'replace') {
      parts.push(replacementCharacter);
      index += replacementCharacter.length;
    }
    badBytes++;
    start = bad + 1;
    places.push({ index, byte: start });
  }
  if (badBytes === 0) return { bytes, badBytes, places };
  return { bytes: Buffer.concat([...parts, bytes.subarray(start)]), badBytes, places };
}

/** Where the byte at `index` of a text stood. */
export function byteAt(places: readonly Place[], index: number): number {
  let at = places.length - 1;
  while (at > 0 && places[at]!.index > index) at--;
  return places[at]!.byte + index - places[at]!.index;
}

const replacementCharacter = Buffer.from('\uFFFD');

/** Bytes of the character that begins with `lead`; 1 for a byte that cannot begin one. */
function sequenceLength(lead: number): number {
  if (lead < 0xc2 || lead > 0xf4) return 1;
  return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}
