/**
 * tokenizer.json as GPT-2 has it: byte-level BPE that cuts words by GPT-2's pattern, and one token that ends a
 * document.
 */
import { endOfTextToken } from '../../tokenizer.ts';

interface Gpt2Vocabulary {
  /** Ids by the spelling of tokens in the alphabet of bytes, that of end-of-text among them. */
  readonly vocabulary: Record<string, number>;
  /** Pairs of spellings, or two with a space between, the first to be merged first. */
  readonly merges: readonly (string | [left: string, right: string])[];
  readonly endOfTextId: number;
}

export function gpt2File({ vocabulary, merges, endOfTextId }: Gpt2Vocabulary): object {
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  const end = {
    id: endOfTextId,
    content: endOfTextToken,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  };
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [end],
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: byteLevel,
    decoder: byteLevel,
    model: byteLevelModel(vocabulary, merges),
  };
}

/**
 * `model` of a tokenizer.json whose tokens are spelt in the alphabet of bytes; vocabulary and merges as in
 * `Gpt2Vocabulary`.
 */
export const byteLevelModel = (vocabulary: Record<string, number>, merges: Gpt2Vocabulary['merges']): object => ({
  type: 'BPE',
  dropout: null,
  unk_token: null,
  continuing_subword_prefix: null,
  end_of_word_suffix: null,
  fuse_unk: false,
  byte_fallback: false,
  ignore_merges: false,
  vocab: vocabulary,
  merges,
});
