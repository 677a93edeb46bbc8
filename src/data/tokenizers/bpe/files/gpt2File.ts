/**
 * Writes a tokenizer.json like GPT-2's: byte-level BPE with GPT-2's pattern, and one special token, end-of-text.
 */
import { endOfTextToken } from '../../tokenizer.ts';

interface Gpt2Vocabulary {
  /** Ids by spelling in the byte alphabet, including end-of-text. */
  readonly vocabulary: Record<string, number>;
  /** Pairs of spellings, or two spellings with a space between, in order of merging. */
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
 * `model` of a byte-level tokenizer.json; vocabulary and merges as in `Gpt2Vocabulary`.
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
