/** Well-formed UTF-8 read byte by byte (RFC 3629, section 3), for what is too slow with strings. */

/** Bytes of the character that begins with `lead`. */
export const sequenceLength = (lead: number): number => (lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4);

/** The code point that begins at `at`. */
export function codePointAt(utf8: Uint8Array, at: number): number {
  const lead = utf8[at]!;
  if (lead < 0x80) return lead;
  const second = utf8[at + 1]! & 0x3f;
  if (lead < 0xe0) return ((lead & 0x1f) << 6) | second;
  const third = utf8[at + 2]! & 0x3f;
  if (lead < 0xf0) return ((lead & 0x0f) << 12) | (second << 6) | third;
  return ((lead & 0x07) << 18) | (second << 12) | (third << 6) | (utf8[at + 3]! & 0x3f);
}

/** The start of the character before the one that begins at `at`, which is not the first. */
export function previousCharacter(utf8: Uint8Array, at: number): number {
  let start = at - 1;
  while ((utf8[start]! & 0xc0) === 0x80) start--;
  return start;
}
