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

/** The text with every bad byte replaced or left out, and how many there were. */
export function mended(bytes: Uint8Array, how: 'replace' | 'skip'): { bytes: Uint8Array; badBytes: number } {
  const parts: Uint8Array[] = [];
  let badBytes = 0;
  let start = 0;
  for (let bad = firstBadByte(bytes); bad >= 0; bad = firstBadByte(bytes, start)) {
    parts.push(bytes.subarray(start, bad));
    if (how === 'replace') parts.push(replacementCharacter);
    badBytes++;
    start = bad + 1;
  }
  if (badBytes === 0) return { bytes, badBytes };
  return { bytes: Buffer.concat([...parts, bytes.subarray(start)]), badBytes };
}

const replacementCharacter = Buffer.from('\uFFFD');

/** Bytes of the character that begins with `lead`; 1 for a byte that cannot begin one. */
function sequenceLength(lead: number): number {
  if (lead < 0xc2 || lead > 0xf4) return 1;
  return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}
