/** The tokenizer `bytes`: a token is a byte of UTF-8, so every text can be encoded. */
import { checkTokenId, endOfTextToken, refuseLoneSurrogates, tokenizerFormat, tokenizerVersion } from './tokenizer.ts';
import type { DecodeOptions, StreamingDecoder, Tokenizer } from './tokenizer.ts';

/**
 * 256 ids, and with `endOfText` one more that ends a document. Bytes that do not form a character are decoded as
 * U+FFFD, as in the Encoding Standard.
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
  const encode: Tokenizer['encode'] = (text, { specialTokens = false, isChat = false } = {}) => {
    refuseLoneSurrogates(text);
    if (!(specialTokens || isChat) || endOfText === null) return new Int32Array(Buffer.from(text));
    const pieces = text.split(endOfTextToken).map((piece) => [...Buffer.from(piece)]);
    return Int32Array.from(pieces.flatMap((piece, i) => (i === 0 ? piece : [endOfText, ...piece])));
  };
  return {
    kind: 'bytes',
    vocabularySize,
    byteLengths,
    endOfText,
    otherEnds: [],
    unusedIds: [],
    chat: null,
    spelling: (tokenId) => (tokenId < 256 ? Uint8Array.of(tokenId) : Buffer.from(endOfTextToken)),
    encode,
    encodeUtf8: (utf8) => new Int32Array(utf8),
    encodeChunk: (utf8, { isChat }) => ({
      tokenIds: isChat ? encode(Buffer.from(utf8).toString(), { isChat }) : new Int32Array(utf8),
      bytes: utf8.length,
    }),
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

/** The text of these ids by a streaming decoder. */
export function decodeAll(decoder: StreamingDecoder, tokenIds: ArrayLike<number>): string {
  let text = '';
  for (let i = 0; i < tokenIds.length; i++) text += decoder.write(tokenIds[i]!);
  return text + decoder.end();
}

// Without `ignoreBOM` the decoder would drop a U+FEFF at the start of the text.
const utf8Decoder = () => new TextDecoder('utf-8', { ignoreBOM: true });
