/**
 * Training of byte-pair encoding (Sennrich, Haddow and Birch, 2016): the most frequent pair of neighbouring tokens
 * becomes a token, again and again. Which pair comes first among equals, and what happens when two merges spell the
 * same token, is as in Hugging Face's trainer, so that the same text gives the same tokenizer.
 */
import { mergeQueue } from './mergeQueue.ts';
import { pairTable } from './pairTable.ts';
import type { CountedWords } from './wordCounts.ts';

export interface TrainedMerges {
  /** Bytes of every token, by id: the first ones that were given, then one for each new spelling. */
  readonly tokens: Uint8Array[];
  /** Pairs of ids, the first merged first, each once. */
  readonly merges: { left: number; right: number }[];
}

/**
 * @param idOfByte the token of each byte, before any merge
 * @param tokens bytes of the tokens that exist before any merge, by id; those of no bytes take part in nothing
 * @param vocabularySize tokens wanted, those included; a text whose pairs are used up gives fewer
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
  const symbols = new Int32Array(starts[size]!); // the words as they are merged, each from its start on
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
  const placeOfPair = new Map<number, number>(); // a pair that comes again counts where it came last
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
    placeOfPair.set(pair, merges.length);
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
  const last = new Set(placeOfPair.values());
  return { tokens, merges: merges.filter((_, place) => last.has(place)) };

  /** Replaces the pair wherever it stands in the word and reports which pairs come and go. @returns the new length */
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
