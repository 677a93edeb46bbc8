/**
 * The names by which `tokenizer.ggml.pre` says how llama.cpp splits a text into words before merging. Many names stand
 * for one pattern; the first of each list is the one that clm writes. From llama.cpp's src/llama-vocab.cpp.
 */
import { patterns, type PatternName } from '../data/tokenizers/bpe/patterns.ts';

/** How a byte-level BPE splits a text. */
export interface Split {
  pattern: PatternName;
  /** Whether every digit is first split from what is beside it. */
  splitsDigits: boolean;
  /** Whether a word that is a token is not merged from its bytes. */
  ignoresMerges: boolean;
}

interface NamedSplit extends Split {
  names: readonly string[];
}

const named = (pattern: PatternName, names: string, rest: Partial<Split> = {}): NamedSplit => ({
  ...{ pattern, splitsDigits: false, ignoresMerges: false },
  ...rest,
  names: names.split(' '),
});

const splits: readonly NamedSplit[] = [
  named('gpt2', 'gpt-2 phi-2 jina-es jina-de jina-v2-es jina-v2-de gigachat mellum exaone4 mpt olmo jais trillion'),
  named('gpt2', 'smollm starcoder refact command-r codeshell exaone minerva-7b mellum2', { splitsDigits: true }),
  named('llama3', 'llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2', { ignoresMerges: true }),
  named('llama3', 'smaug-bpe dbrx glm4 chatglm-bpe'),
  named('qwen2', 'qwen2 deepseek-r1-qwen kormo megrez stablelm2 hunyuan solar-open grok-2'),
  named('o200k', 'gpt-4o llama4 kanana2'),
];

/** The name for `tokenizer.ggml.pre`; undefined if llama.cpp has no such split. */
export const nameOfSplit = (split: Split): string | undefined =>
  splits.find(
    ({ pattern, splitsDigits, ignoresMerges }) =>
      pattern === split.pattern && splitsDigits === split.splitsDigits && ignoresMerges === split.ignoresMerges,
  )?.names[0];

/** The split of a name; undefined for one that clm does not know. */
export const splitOfName = (name: string): Split | undefined => splits.find(({ names }) => names.includes(name));

/** Names whose original tokenizers normalize text (NFC), which llama.cpp does not do. */
export const normalizesText = (name: string): boolean => ['qwen2', 'deepseek-r1-qwen'].includes(name);

/** A step of `pre_tokenizer` in a tokenizer.json that clm has read, so that it has only what clm supports. */
interface Step {
  type: 'Sequence' | 'ByteLevel' | 'Digits' | 'Split';
  pretokenizers?: Step[];
  individual_digits?: boolean;
  pattern?: { Regex: string };
  use_regex?: boolean;
  add_prefix_space?: boolean;
}

/** `pre_tokenizer` of a tokenizer.json for a split. */
export function preTokenizerOf({ pattern, splitsDigits }: Split): object {
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: pattern === 'gpt2' };
  const { expressions } = patterns.find(({ name }) => name === pattern)!;
  const split = { type: 'Split', pattern: { Regex: expressions[0] }, behavior: 'Isolated', invert: false };
  const steps = [
    ...(splitsDigits ? [{ type: 'Digits', individual_digits: true }] : []),
    ...(pattern === 'gpt2' ? [] : [split]),
    byteLevel,
  ];
  return steps.length === 1 ? byteLevel : { type: 'Sequence', pretokenizers: steps };
}

/** What keeps a pre-tokenizer from being one that llama.cpp has, in words; or its split. */
export function splitOfPreTokenizer(preTokenizer: unknown, ignoresMerges: boolean): Split | string {
  const top = preTokenizer as Step;
  const steps = top.type === 'Sequence' ? top.pretokenizers! : [top];
  const found: PatternName[] = [];
  let splitsDigits = false;
  for (const [i, step] of steps.entries()) {
    if (step.type === 'Digits') {
      if (i > 0 || step.individual_digits !== true) return 'Digits that does not split every digit first';
      splitsDigits = true;
    } else if (step.type === 'Split') {
      const { name } = patterns.find(({ expressions }) => expressions.includes(step.pattern!.Regex))!;
      found.push(name);
    } else {
      if (step.add_prefix_space !== false) return 'add_prefix_space';
      if (step.use_regex !== false) found.push('gpt2');
    }
  }
  if (found.length !== 1) return found.length === 0 ? 'no split pattern' : 'several split patterns';
  return { pattern: found[0]!, splitsDigits, ignoresMerges };
}
