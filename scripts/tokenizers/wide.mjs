// A tokenizer.json of bytes whose vocabulary is filled up with tokens that no text has: a head of the size of GPT-2's
// without its merges.
import { writeFileSync } from 'node:fs';

/** @param {string} file @param {number} vocabulary at least 256 */
export function writeWideTokenizer(file, vocabulary) {
  const printable = [...Array(256).keys()].filter((b) => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174);
  const characters = [...Array(256).keys()].map((b, _, all) =>
    String.fromCharCode(printable.includes(b) ? b : 256 + all.slice(0, b).filter((other) => !printable.includes(other)).length),
  );
  const words = [...characters, ...Array.from({ length: vocabulary - 256 }, (_, i) => `unused${i}`)];
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  const model = { type: 'BPE', vocab: Object.fromEntries(words.map((word, id) => [word, id])), merges: [] };
  writeFileSync(file, JSON.stringify({ version: '1.0', added_tokens: [], normalizer: null, pre_tokenizer: byteLevel, post_processor: null, decoder: byteLevel, model }));
}
