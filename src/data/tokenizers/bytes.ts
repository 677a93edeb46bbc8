/** The tokenizer `bytes`: a token id is a byte of UTF-8, so every text can be encoded. Row 5 of the walk. */
import { checkTokenId, refuseLoneSurrogates, tokenizerFormat, tokenizerVersion } from './tokenizer.ts';
import type { StreamingDecoder, Tokenizer } from './tokenizer.ts';

const vocabularySize = 256;

/** 256 ids. Bytes that form no character are decoded as U+FFFD, as the Encoding Standard has it. */
export function bytesTokenizer(): Tokenizer {
  return {
    kind: 'bytes',
    vocabularySize,
    byteLengths: new Uint8Array(vocabularySize).fill(1),
    encode: (text) => {
      refuseLoneSurrogates(text);
      return new Int32Array(Buffer.from(text));
    },
    encodeUtf8: (utf8) => new Int32Array(utf8),
    decode: (tokenIds) => {
      const bytes = new Uint8Array(tokenIds.length);
      for (let i = 0; i < tokenIds.length; i++) bytes[i] = checkedByte(tokenIds[i]!);
      return utf8Decoder().decode(bytes);
    },
    decoder: streamingDecoder,
    toJSON: () => ({ format: tokenizerFormat, version: tokenizerVersion, kind: 'bytes' }),
  };
}

function streamingDecoder(): StreamingDecoder {
  const decoder = utf8Decoder();
  return {
    write: (tokenId) => decoder.decode(Uint8Array.of(checkedByte(tokenId)), { stream: true }),
    end: () => decoder.decode(),
  };
}

// Without `ignoreBOM` the decoder would swallow a U+FEFF at the start of the text.
const utf8Decoder = () => new TextDecoder('utf-8', { ignoreBOM: true });

function checkedByte(tokenId: number): number {
  checkTokenId(tokenId, vocabularySize);
  return tokenId;
}
