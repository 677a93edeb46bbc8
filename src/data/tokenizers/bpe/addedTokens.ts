/** Tokens that are cut out of a text as a whole, before anything else is done with it. */

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Text that spells it is text like any other unless the caller asks otherwise. */
  readonly isSpecial: boolean;
  /** Looked for after the text is normalised. */
  readonly isNormalized: boolean;
}

/** Calls `piece` for the stretches of utf8[start, end) in order: those that are tokens, and those between them. */
export type CutTokens = (
  utf8: Uint8Array,
  start: number,
  end: number,
  piece: (start: number, end: number, tokenId: number) => void,
) => void;

/** The id given for a stretch between tokens. */
export const noToken = -1;

/** Cuts at the leftmost token, and there at the longest; undefined where there is nothing to look for. */
export function tokenCutter(tokens: readonly AddedToken[]): CutTokens | undefined {
  if (tokens.length === 0) return undefined;
  const byFirstByte: { id: number; utf8: Buffer }[][] = Array.from({ length: 256 }, () => []);
  for (const { id, content } of tokens) {
    const utf8 = Buffer.from(content);
    byFirstByte[utf8[0]!]!.push({ id, utf8 });
  }
  for (const list of byFirstByte) list.sort((a, b) => b.utf8.length - a.utf8.length);
  const begins = Uint8Array.from(byFirstByte, (list) => (list.length > 0 ? 1 : 0));
  return (utf8, start, end, piece) => {
    let pieceStart = start;
    for (let at = start; at < end; ) {
      const found = begins[utf8[at]!] === 0 ? undefined : byFirstByte[utf8[at]!]!.find((token) => standsAt(token.utf8, utf8, at, end));
      if (found === undefined) {
        at++;
        continue;
      }
      if (at > pieceStart) piece(pieceStart, at, noToken);
      at += found.utf8.length;
      piece(at - found.utf8.length, at, found.id);
      pieceStart = at;
    }
    if (pieceStart < end) piece(pieceStart, end, noToken);
  };
}

/**
 * Whether a cut at `at` would fall into one of the tokens, or right behind one, where the rest of the text would no
 * longer be seen to follow a token.
 */
export function cutsToken(tokens: readonly Uint8Array[], utf8: Uint8Array, at: number): boolean {
  return tokens.some((token) => {
    for (let start = Math.max(0, at - token.length); start < at; start++) {
      if (standsAt(token, utf8, start, utf8.length)) return true;
    }
    return false;
  });
}

function standsAt(token: Uint8Array, utf8: Uint8Array, at: number, end: number): boolean {
  if (at + token.length > end) return false;
  for (let i = 0; i < token.length; i++) if (utf8[at + i] !== token[i]) return false;
  return true;
}
