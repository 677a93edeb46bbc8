/**
 * Cuts texts longer than the context into overlapping windows, so that every token is scored once with enough context.
 *
 * T context length
 */

/** The loss of every token given those before it; see tokenLosses.ts. */
export interface TokenLosses {
  readonly contextLength: number;
  /** How many full windows are best scored at a time. */
  readonly batchSize: number;
  /**
   * @param windows at most `batchSize` windows of 2 … T + 1 token ids each
   * @returns −ln p (nats) of each token of a window but the first
   */
  ofWindows(windows: readonly ArrayLike<number>[]): Promise<Float32Array[]>;
}

/** A piece of a token stream. */
export interface TokenChunk {
  tokenIds: Int32Array;
  /** 1 for each token that counts towards the loss, or null if all do. */
  lossMask: Uint8Array | null;
  /** Whether a new text begins here, whose tokens must not see the one before. */
  startsText?: boolean;
}

export interface OverlappingWindow {
  tokenIds: Int32Array;
  /** As in `TokenChunk`. */
  lossMask: Uint8Array | null;
  /** How many tokens at the beginning are context only and not scored in this window. */
  context: number;
}

/**
 * Cuts a stream of tokens into windows of T + 1 so that every token but the first of a text is scored once.
 *
 * @param overlap 0 … T − 1: how many tokens of a window the next one repeats as context. A larger overlap gives the
 *   first tokens of a window more context and takes T/(T − overlap) times the work.
 */
export async function* overlappingWindows(
  chunks: AsyncIterable<TokenChunk>,
  T: number,
  overlap: number,
): AsyncGenerator<OverlappingWindow, void, void> {
  const window = new Int32Array(T + 1);
  const mask = new Uint8Array(T + 1);
  let hasMask = false;
  let filled = 0;
  let context = 1;
  const current = (): OverlappingWindow => ({
    tokenIds: window.slice(0, filled),
    lossMask: hasMask ? mask.slice(0, filled) : null,
    context,
  });
  for await (const { tokenIds, lossMask, startsText = false } of chunks) {
    if (startsText) {
      if (filled > context) yield current();
      filled = 0;
      context = 1;
    }
    hasMask ||= lossMask !== null;
    for (let at = 0; at < tokenIds.length; ) {
      const count = Math.min(tokenIds.length - at, window.length - filled);
      window.set(tokenIds.subarray(at, at + count), filled);
      if (lossMask === null) mask.fill(1, filled, filled + count);
      else mask.set(lossMask.subarray(at, at + count), filled);
      filled += count;
      at += count;
      if (filled < window.length) continue;
      yield current();
      context = overlap + 1;
      window.copyWithin(0, T - overlap);
      mask.copyWithin(0, T - overlap);
      filled = context;
    }
  }
  if (filled > context) yield current();
}

/** −ln p of each token of a text but the first (tokenIds.length − 1 numbers); windows overlap by half. */
export async function lossesOfText(tokenLosses: TokenLosses, tokenIds: Int32Array): Promise<Float32Array> {
  const T = tokenLosses.contextLength;
  const losses = new Float32Array(Math.max(0, tokenIds.length - 1));
  const whole = async function* () {
    yield { tokenIds, lossMask: null };
  };
  let at = 0;
  for await (const window of overlappingWindows(whole(), T, Math.floor(T / 2))) {
    const [all] = await tokenLosses.ofWindows([window.tokenIds]);
    const scored = all!.subarray(window.context - 1);
    losses.set(scored, at);
    at += scored.length;
  }
  return losses;
}
