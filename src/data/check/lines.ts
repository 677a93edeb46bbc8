/**
 * The lines of a text that comes in chunks, as hashes: the unit in which `clm data check` looks for text that occurs
 * more than once.
 */

/** Shorter lines repeat by chance in any text; they are not looked at. */
export const shortestLineBytes = 40;
/** A longer line is cut in pieces that count as lines, at places that depend only on the few bytes before them. */
const longLineBytes = 512;

/**
 * @param high 32 bits of the hash, an integer @param low 32 further bits
 * @param bytes of the line, without its end
 * @param position of its first byte in the corpus
 */
export type LineSink = (high: number, low: number, bytes: number, position: number) => void;

export interface LineHasher {
  /** @param positionOf the position in the corpus of the byte at an index of `text` */
  write(text: Uint8Array, positionOf: (index: number) => number): void;
  /** Ends the last line of a document. */
  end(): void;
}

/** Two hashes in the manner of FNV-1a. Carriage returns are left out, so that CRLF and LF make no difference. */
export function lineHasher(line: LineSink): LineHasher {
  let first = 0x811c9dc5;
  let second = 0x9747b28c;
  let recent = 0; // the last four bytes
  let bytes = 0;
  let position = 0;
  const end = (): void => {
    if (bytes >= shortestLineBytes) {
      const mixed = Math.imul(second ^ (second >>> 15), 0x85ebca6b);
      line(first, mixed ^ (mixed >>> 13), bytes, position);
    }
    first = 0x811c9dc5;
    second = 0x9747b28c;
    recent = 0;
    bytes = 0;
  };
  return {
    write: (text, positionOf) => {
      for (let i = 0; i < text.length; i++) {
        const byte = text[i]!;
        if (byte === 0x0a) end();
        else if (byte !== 0x0d) {
          if (bytes === 0) position = positionOf(i);
          first = Math.imul(first ^ byte, 0x01000193);
          second = Math.imul(second ^ byte, 0x5bd1e995) ^ (second >>> 15);
          if (++bytes < longLineBytes) continue;
          recent = (recent << 8) | byte;
          if (Math.imul(recent, 0x9e3779b1) >>> 25 === 0) end();
        }
      }
    },
    end,
  };
}
