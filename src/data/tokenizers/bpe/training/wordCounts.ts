/** Counts the words of a text, for training BPE. A hash table over bytes in flat arrays. */

/** Reached by about a gigabyte of varied text. */
const defaultLimits = { words: 2 ** 22, bytes: 2 ** 27 };

export interface CountedWords {
  /** Number of distinct words. */
  readonly size: number;
  /** The bytes of word w are bytes[starts[w]] to bytes[starts[w + 1]]. */
  readonly bytes: Uint8Array;
  readonly starts: Uint32Array;
  readonly counts: Float64Array;
  /** Number of words, all rare, that were dropped to stay within the limits. */
  readonly dropped: number;
}

interface WordCounter {
  add(utf8: Uint8Array, start: number, end: number): void;
  /** The words so far, in order of first occurrence. */
  words(): CountedWords;
}

/**
 * @param limits on the distinct words, and on their bytes. When either is reached, the rarest words are dropped until
 *   half is free again.
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

  /** Drops all words that occurred at most `least` times, with `least` doubled until half is free. */
  const dropRareWords = (): void => {
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
        dropRareWords();
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

/** A longer copy of an array. */
export function grown<Numbers extends Uint8Array | Int32Array | Uint32Array | Float64Array>(
  array: Numbers,
  length: number,
): Numbers {
  const larger = new (array.constructor as new (length: number) => Numbers)(length);
  larger.set(array);
  return larger;
}
