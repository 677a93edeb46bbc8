/** Which tokens of a text count towards the loss, given the parts of the text that do. */
import { wrongInput } from '../../errors.ts';
import type { Tokenizer } from '../tokenizers/tokenizer.ts';

/** A part of a text, [startByte, endByte) of its UTF-8. */
export type ByteSpan = readonly [startByte: number, endByte: number];

/**
 * 1 for each token that has a byte in one of the spans, as in transformers' assistant masks.
 *
 * The tokens must spell the text, but for white space beside a special token that takes it in, and for the space that
 * SentencePiece puts before a text.
 *
 * @param utf8 the text of the tokens
 * @param spans ascending and apart
 * @param location of the text, for messages
 * @throws wrongInput if the tokens spell another text, e.g. in lower case
 */
export function lossMaskOf(
  utf8: Uint8Array,
  tokenIds: Int32Array,
  spans: readonly ByteSpan[],
  tokenizer: Pick<Tokenizer, 'spelling'>,
  location: () => string,
): Uint8Array {
  const mask = new Uint8Array(tokenIds.length);
  let at = 0;
  let span = 0;
  for (let i = 0; i < tokenIds.length; i++) {
    const spelt = tokenizer.spelling(tokenIds[i]!);
    const startByte = at;
    let from = isAt(utf8, at, spelt, 0) ? at : skipSpaces(utf8, at);
    let added = 0;
    if (!isAt(utf8, from, spelt, 0) && spelt[0] === space) {
      [from, added] = [at, 1];
    }
    if (!isAt(utf8, from, spelt, added)) throw otherText(location);
    at = from + spelt.length - added;
    while (span < spans.length && spans[span]![1] <= startByte) span++;
    if (span < spans.length && spans[span]![0] < at && spans[span]![1] > startByte) mask[i] = 1;
  }
  if (skipSpaces(utf8, at) !== utf8.length) throw otherText(location);
  return mask;
}

const space = 0x20;

/** Whether the text at `at` is that of a token without its first `from` bytes. */
function isAt(utf8: Uint8Array, at: number, spelt: Uint8Array, from: number): boolean {
  if (at + spelt.length - from > utf8.length) return false;
  for (let i = from; i < spelt.length; i++) if (utf8[at + i - from] !== spelt[i]) return false;
  return true;
}

function skipSpaces(utf8: Uint8Array, at: number): number {
  while (at < utf8.length && (utf8[at] === space || (utf8[at]! >= 0x09 && utf8[at]! <= 0x0d))) at++;
  return at;
}

const otherText = (location: () => string): Error =>
  wrongInput(
    `The tokenizer changes the text of a chat (e.g. to lower case), ${location()}, so it is not certain which of its ` +
      'tokens count towards the loss. Set lossOn: all in corpus.sources, or use another tokenizer.',
  );
