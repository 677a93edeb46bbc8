/** How often each word of a text occurs: what BPE is trained on. A hash table over bytes in flat arrays. */

/** Bounds for the words themselves; reached by about a gigabyte of varied text. */
const defaultLimits = { words: 2 ** 22, bytes: 2 ** 27 };

export interface CountedWords {
  /** Number of different words. */
  readonly size: number;
  /** The bytes of word w are bytes[starts[w]] to bytes[starts[w + 1]]. */
  readonly bytes: Uint8Array;
  readonly starts: Uint32Array;
  readonly counts: Float64Array;
  /** Words that were given up to stay within the limits, all of them rare. */
  readonly dropped: number;
}

interface WordCounter {
  add(utf8: Uint8Array, start: number, end: number): void;
  /** The words so far, in the order of their first occurrence. */
  words(): CountedWords;
}

/**
 * @param limits different words, and their bytes, that are held at a time. Where either is reached, the words that have
 *   occurred least often are forgotten, until half is free again.
 */
export function wordCounter(limits: { words: number; bytes: number } = defaultLimits): WordCounter {
  let slots = new Int32Array(2 ** 16); // word + 1
  let bytes = new Uint8Array(2 ** 16);
  let starts = new Uint32Array(2 ** 12);
  let counts = new Float64Array(2 ** 12);
  let size = 0;
  let dropped = 0;

  const slotOf = (text: Uint8Array, start: number, end: number): number => {
    let hash = 0x811c9dc5;
    for (let at = start; at < end; at++) hash = Math.imul(hash ^ text[at]!, 0x01000193);
    const mask = slots.length - 1;
    for (let slot = (hash ^ (hash >>> 15)) & mask; ; slot = (slot + 1) & mask) {
      const word = slots[slot]! - 1;
      if (word < 0) return slot;
      let key = starts[word]!;
      if (starts[word + 1]! - key !== end - start) continue;
      let at = start;
      while (at < end && bytes[key] === text[at]) {
        at++;
        key++;
      }
      if (at === end) return slot;
    }
  };

  const reindex = (slotCount: number): void => {
    slots = new Int32Array(slotCount);
    for (let word = 0; word < size; word++) slots[slotOf(bytes, starts[word]!, starts[word + 1]!)] = word + 1;
  };

  /** Forgets all words that occurred at most `least` times, for the smallest `least` that frees half. */
  const forgetRare = (): void => {
    let [words, end] = [size, starts[size]!];
    for (let least = 1; words > limits.words / 2 || end > limits.bytes / 2; least *= 2) {
      words = end = 0;
      for (let word = 0; word < size; word++) {
        if (counts[word]! <= least) continue;
        const [from, to] = [starts[word]!, starts[word + 1]!];
        bytes.copyWithin(end, from, to);
        starts[words] = end;
        counts[words++] = counts[word]!;
        end += to - from;
      }
      starts[words] = end;
      dropped += size - words;
      size = words;
    }
    reindex(slots.length);
  };

  return {
    add: (text, start, end) => {
      let slot = slotOf(text, start, end);
      const word = slots[slot]! - 1;
      if (word >= 0) {
        counts[word]!++;
        return;
      }
      const length = end - start;
      if (size === limits.words || starts[size]! + length > limits.bytes) {
        forgetRare();
        slot = slotOf(text, start, end);
      }
      if (2 * size >= slots.length) {
        reindex(2 * slots.length);
        slot = slotOf(text, start, end);
      }
      const from = starts[size]!;
      if (from + length > bytes.length) bytes = grown(bytes, 2 * bytes.length + length);
      if (size + 2 > starts.length) {
        starts = grown(starts, 2 * starts.length);
        counts = grown(counts, 2 * counts.length);
      }
      for (let i = 0; i < length; i++) bytes[from + i] = text[start + i]!;
      counts[size] = 1;
      starts[++size] = from + length;
      slots[slot] = size;
    },
    words: () => ({ size, bytes, starts, counts, dropped }),
  };
}

/** A longer array with the same front. */
export function grown<Numbers extends Uint8Array | Int32Array | Uint32Array | Float64Array>(
  array: Numbers,
  length: number,
): Numbers {
  const larger = new (array.constructor as new (length: number) => Numbers)(length);
  larger.set(array);
  return larger;
}
