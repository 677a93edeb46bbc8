/**
 * A tokenizer.json of bytes whose vocabulary is filled up with tokens that no text has: a head of the size of GPT-2's
 * without its merges.
 */
import { writeFileSync } from 'node:fs';
import { characterOfByte } from '#clm/data/tokenizers/bpe/byteAlphabet.js';

/** @param {string} file @param {number} vocabulary at least 256 */
export function writeWideTokenizer(file, vocabulary) {
  const words = [...characterOfByte, ...Array.from({ length: vocabulary - 256 }, (_, i) => `unused${i}`)];
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  const model = { type: 'BPE', vocab: Object.fromEntries(words.map((word, id) => [word, id])), merges: [] };
  writeFileSync(
    file,
    JSON.stringify({
      version: '1.0',
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: byteLevel,
      post_processor: null,
      decoder: byteLevel,
      model,
    }),
  );
}
