/** Finds stop texts in text that arrives in pieces, also across tokens, and never shows even a part of one. */

interface StopWatcher {
  /** Adds a piece. @returns the text that can be shown now, and whether a stop text is complete */
  push(piece: string): { text: string; stopped: boolean };
  /** The text held back because it could have become a stop text. */
  end(): string;
}

/** @param stops none of them empty */
export function watchForStops(stops: readonly string[]): StopWatcher {
  let held = '';
  const push = (piece: string): { text: string; stopped: boolean } => {
    held += piece;
    const found = stops.map((stop) => held.indexOf(stop)).filter((index) => index >= 0);
    if (found.length > 0) {
      const text = held.slice(0, Math.min(...found));
      held = '';
      return { text, stopped: true };
    }
    const text = held.slice(0, held.length - longestBeginning(held, stops));
    held = held.slice(text.length);
    return { text, stopped: false };
  };
  return { push, end: () => held };
}

/** Length of the longest suffix of `text` that is the beginning of a stop text. */
function longestBeginning(text: string, stops: readonly string[]): number {
  const longest = Math.min(text.length, Math.max(0, ...stops.map((stop) => stop.length - 1)));
  for (let length = longest; length > 0; length--) {
    const ending = text.slice(text.length - length);
    if (stops.some((stop) => stop.startsWith(ending))) return length;
  }
  return 0;
}
