/**
 * Byte-level BPE writes bytes as printable characters (GPT-2, 2019): printable Latin-1 as itself, the other 68 bytes,
 * in order, as U+0100 and on. Tokens in files are strings in this alphabet.
 */
const printable = (byte: number): boolean =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;

/** The character of each byte. */
export const characterOfByte: readonly string[] = (() => {
  let others = 0;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : 0x100 + others++));
})();

const byteOfCharacter = new Map(characterOfByte.map((character, byte) => [character, byte]));

/** The spelling of bytes in this alphabet. */
export function spelling(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += characterOfByte[byte]!;
  return text;
}

/** The bytes of a spelling; undefined if it has a character outside of the alphabet. */
export function bytesOfSpelling(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const byte = byteOfCharacter.get(text[i]!);
    if (byte === undefined) return undefined;
    bytes[i] = byte;
  }
  return bytes;
}
