/** The prompt of the samples that training writes. */
import type { Config } from '../config/schema.ts';
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { wrongInput } from '../errors.ts';

/** The default of samples.prompt, which a text of one line does not contain. */
const newline = '\n';

/**
 * samples.prompt; where it is the default and the vocabulary has no newline, the vocabulary's first token.
 *
 * @throws wrong input naming the key where the prompt is empty or cannot be encoded
 */
export function samplePrompt({ samples }: Pick<Config, 'samples'>, tokenizer: Tokenizer): string {
  const { prompt } = samples;
  if (prompt === '') throw wrongInput('samples.prompt is empty: there is nothing to continue.');
  try {
    tokenizer.encode(prompt);
    return prompt;
  } catch (error) {
    if (prompt === newline) return tokenizer.decode([0]);
    throw wrongInput(`samples.prompt: ${(error as Error).message}`, { cause: error });
  }
}
