/** Whether a validation part can be scored at all: the same refusals in every command that plans to evaluate on it. */
import { wrongInput } from '../errors.ts';
import type { Corpus } from './files/corpus.ts';
import { hasLossTokens } from './tokens/tokens.ts';
import type { Tokenizer } from './tokenizers/tokenizer.ts';

/** Before anything is counted. @throws wrongInput for a running text that leaves fewer than two tokens to validation */
export function refuseShortValidation({ separatesDocuments, validation }: Corpus): void {
  if (separatesDocuments === true || validation.endByte - validation.startByte >= 2) return;
  throw wrongInput(
    'The validation text has fewer than two tokens. Raise corpus.validation.tail or add text to corpus.sources.',
  );
}

/**
 * @param validationTokens tokens of the validation part
 * @throws wrongInput if they are fewer than two, so that no token follows another
 */
export function refuseFewValidationTokens(validationTokens: number): void {
  if (validationTokens >= 2) return;
  throw wrongInput(
    `The validation part has ${validationTokens} token${validationTokens === 1 ? '' : 's'}, nothing to score. ` +
      'Raise corpus.validation.hash or tail, or name a longer file in corpus.validation.path.',
  );
}

/** Reads up to the first token that counts; without pairs every token does. @throws wrongInput if none does */
export async function refuseValidationWithoutLoss(corpus: Corpus, tokenizer: Tokenizer): Promise<void> {
  if (corpus.hasLossMask !== true || (await hasLossTokens(corpus, corpus.validation, tokenizer))) return;
  throw wrongInput(
    'The validation part has no token to score: every completion in it is empty, and no chat in it has a turn of the ' +
      'assistant. Raise corpus.validation.hash or tail, or fix the completions or chats.',
  );
}

/** All of the above, for a part that has been counted. */
export async function refuseUnscoredValidation(
  corpus: Corpus,
  tokenizer: Tokenizer,
  validationTokens: number,
): Promise<void> {
  refuseShortValidation(corpus);
  refuseFewValidationTokens(validationTokens);
  await refuseValidationWithoutLoss(corpus, tokenizer);
}
