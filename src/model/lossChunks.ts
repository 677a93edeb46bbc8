/** How many rows of logits are held at a time. Loads nothing native, for the plan asks it too. */

/** Logits (128 MB of them) that are held at a time; a larger (N, V) is computed in chunks of rows. */
const chunkElements = 2 ** 25;

/** All N rows, or about equal chunks of them. @param V vocabulary size */
export function chunkRows(N: number, V: number, elements = chunkElements): number {
  const chunks = Math.min(N, Math.ceil((N * V) / elements));
  return Math.ceil(N / chunks);
}
