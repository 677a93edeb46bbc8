/**
 * Trains byte-pair encoding (Sennrich, Haddow and Birch, 2016): again and again, the most frequent pair of adjacent
 * tokens becomes a token. Ties, and merges that spell the same token, are handled as in Hugging Face's trainer, so that
 * the same text yields the same tokenizer.
 */
import { mergeQueue } from './mergeQueue.ts';
import { pairTable } from './pairTable.ts';
import type { CountedWords } from './wordCounts.ts';

export interface TrainedMerges {
  /** Bytes of every token, by id: the given ones, then one for each new spelling. */
  readonly tokens: Uint8Array[];
  /** Pairs of ids in order of merging, each once. */
  readonly merges: { left: number; right: number }[];
}

/**
 * @param idOfByte the token of each byte, before any merge
 * @param tokens bytes of the tokens before any merge, by id; a token without bytes (end-of-text) is never merged
 * @param vocabularySize tokens wanted, those included; a text with too few pairs yields fewer
 */
export function trainMerges(
  words: CountedWords,
  {
    idOfByte,
    tokens: firstTokens,
    vocabularySize,
  }: { idOfByte: Int32Array; tokens: readonly Uint8Array[]; vocabularySize: number },
): TrainedMerges {
  const { size, starts, counts } = words;
  const symbols = new Int32Array(starts[size]!); // the tokens of the words, each from its start on
  const lengths = new Int32Array(size);
  for (let i = 0; i < symbols.length; i++) symbols[i] = idOfByte[words.bytes[i]!]!;
  const pairs = pairTable();
  const queue = mergeQueue(pairs);
  for (let word = 0; word < size; word++) {
    const [start, end] = [starts[word]!, starts[word + 1]!];
    lengths[word] = end - start;
    for (let i = start; i + 1 < end; i++) {
      const pair = pairs.of(symbols[i]!, symbols[i + 1]!);
      pairs.counts[pair]! += counts[word]!;
      queue.note(pair, word);
    }
  }
  queue.pushNoted();

  const tokens = [...firstTokens];
  const idBySpelling = new Map(tokens.map((bytes, id) => [latin1(bytes), id]));
  const merges: { left: number; right: number }[] = [];
  const lastMergeOfPair = new Map<number, number>(); // a pair may be merged again; its last merge counts
  while (tokens.length < vocabularySize) {
    const pair = queue.pop();
    if (pair < 0) break;
    const left = pairs.left(pair);
    const right = pairs.right(pair);
    const bytes = Buffer.concat([tokens[left]!, tokens[right]!]);
    const spelling = latin1(bytes);
    let merged = idBySpelling.get(spelling);
    if (merged === undefined) {
      merged = tokens.length;
      tokens.push(bytes);
      idBySpelling.set(spelling, merged);
    }
    lastMergeOfPair.set(pair, merges.length);
    merges.push({ left, right });
    for (let word = queue.takeWord(); word >= 0; word = queue.takeWord()) {
      lengths[word] = mergeInWord(starts[word]!, lengths[word]!, left, right, merged, (a, b, change) => {
        const changed = pairs.of(a, b);
        pairs.counts[changed]! += change * counts[word]!;
        if (change > 0) queue.note(changed, word);
      });
    }
    queue.pushNoted();
  }
  const last = new Set(lastMergeOfPair.values());
  return { tokens, merges: merges.filter((_, index) => last.has(index)) };

  /** Merges the pair wherever it occurs in the word and reports changed pairs. @returns the word's new length */
  function mergeInWord(
    start: number,
    length: number,
    left: number,
    right: number,
    merged: number,
    report: (left: number, right: number, change: number) => void,
  ): number {
    const end = start + length;
    let to = start;
    for (let from = start; from < end; from++) {
      if (symbols[from] !== left || from + 1 === end || symbols[from + 1] !== right) {
        symbols[to++] = symbols[from]!;
        continue;
      }
      if (to > start) {
        report(symbols[to - 1]!, left, -1);
        report(symbols[to - 1]!, merged, 1);
      }
      if (from + 2 < end) {
        report(right, symbols[from + 2]!, -1);
        report(merged, symbols[from + 2]!, 1);
      }
      symbols[to++] = merged;
      from++;
    }
    return to - start;
  }
}

const latin1 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
