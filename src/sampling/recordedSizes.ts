/**
 * A recorded program has inputs of one size. To record few of them, lengths are padded up to a power of two, and a
 * program is recorded when its size is first needed.
 */

/** The smallest recorded length for `length` tokens: `shortest` times a power of two, at most the context length. */
export function paddedLength(length: number, contextLength: number, shortest: number): number {
  let padded = shortest;
  while (padded < length) padded *= 2;
  return Math.min(padded, contextLength);
}

/** Calls `record` once for each combination of sizes, and returns the same program for it from then on. */
export function recordedOnce<Sizes extends number[], Recorded>(
  record: (...sizes: Sizes) => Recorded,
): (...sizes: Sizes) => Recorded {
  const programs = new Map<string, Recorded>();
  return (...sizes) => {
    const key = sizes.join();
    if (!programs.has(key)) programs.set(key, record(...sizes));
    return programs.get(key)!;
  };
}
