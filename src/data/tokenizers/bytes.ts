/** The tokenizer `bytes`: a token id is a byte of UTF-8, so every text can be encoded. Row 5 of the walk. */
import { checkTokenId, endOfTextToken, refuseLoneSurrogates, tokenizerFormat, tokenizerVersion } from './tokenizer.ts';
import type { DecodeOptions, StreamingDecoder, Tokenizer } from './tokenizer.ts';

/**
 * 256 ids, and one more that ends a document where asked for. Bytes that form no character are decoded as U+FFFD, as
 * the Encoding Standard has it.
 */
export function bytesTokenizer({ endOfText: hasEnd = false }: { endOfText?: boolean } = {}): Tokenizer {
  const endOfText = hasEnd ? 256 : null;
  const vocabularySize = hasEnd ? 257 : 256;
  const byteLengths = new Uint16Array(vocabularySize).fill(1, 0, 256);
  const decoder = ({ specialTokens = false }: DecodeOptions = {}): StreamingDecoder => {
    const utf8 = utf8Decoder();
    return {
      write: (tokenId) => {
        checkTokenId(tokenId, vocabularySize);
        if (tokenId < 256) return utf8.decode(Uint8Array.of(tokenId), { stream: true });
        return utf8.decode() + (specialTokens ? endOfTextToken : '');
      },
      end: () => utf8.decode(),
    };
  };
  return {
    kind: 'bytes',
    vocabularySize,
    byteLengths,
    endOfText,
    encode: (text, { specialTokens = false } = {}) => {
      refuseLoneSurrogates(text);
      if (!specialTokens || endOfText === null) return new Int32Array(Buffer.from(text));
      const pieces = text.split(endOfTextToken).map((piece) => [...Buffer.from(piece)]);
      return Int32Array.from(pieces.flatMap((piece, i) => (i === 0 ? piece : [endOfText, ...piece])));
    },
    encodeUtf8: (utf8) => new Int32Array(utf8),
    encodeChunk: (utf8) => ({ tokenIds: new Int32Array(utf8), bytes: utf8.length }),
    certainBytes: (utf8) => utf8.length,
    decode: (tokenIds, options) => decodeAll(decoder(options), tokenIds),
    decoder,
    toJSON: () => ({
      format: tokenizerFormat,
      version: tokenizerVersion,
      kind: 'bytes',
      ...(hasEnd ? { endOfText: true } : {}),
    }),
  };
}

/** What a streaming decoder gives out for all of these ids. */
export function decodeAll(decoder: StreamingDecoder, tokenIds: ArrayLike<number>): string {
  let text = '';
  for (let i = 0; i < tokenIds.length; i++) text += decoder.write(tokenIds[i]!);
  return text + decoder.end();
}

// Without `ignoreBOM` the decoder would swallow a U+FEFF at the start of the text.
const utf8Decoder = () => new TextDecoder('utf-8', { ignoreBOM: true });
