/** What one epoch contains: its token windows and their tokens. For the plan and `clm data check`. */
import type { Config } from '../../config/schema.ts';
import type { Corpus } from '../files/corpus.ts';
import { documentBlocks } from './documentBlocks.ts';
import { corpusOf } from './mixture.ts';
import type { Tokenizer } from '../tokenizers/tokenizer.ts';
import { tokenChunks } from '../tokens/tokens.ts';
import type { TokenChunk } from '../tokens/tokens.ts';
import { preferenceBlocks } from './preferenceBlocks.ts';
import { noLossTokens } from './trainingBlocks.ts';
import { epochBlocks, hasTarget, piecesOf } from './windows.ts';

/** Of one epoch; another may have one window less. Stored in corpus.json, whose field names these are. */
export interface TrainingSupply {
  readonly windows: number;
  /** Positions of the windows that hold an input token; the others are padding. */
  readonly places: number;
  /** Tokens of the training part … */
  readonly tokens: number;
  /** … and those of them that count towards the loss: not the prompts of pairs. */
  readonly learntTokens: number;
  /** Tokens that are in no window. */
  readonly leftoverTokens: number;
  /** Documents longer than a window, with `packing: documents`; else 0. */
  readonly splitDocuments: number;
  /** Of preference pairs, training and validation: those that were cut, and those left out; else 0. */
  readonly truncatedPairs: number;
  readonly omittedPairs: number;
}

const nothing: TrainingSupply = {
  windows: 0,
  places: 0,
  tokens: 0,
  learntTokens: 0,
  leftoverTokens: 0,
  splitDocuments: 0,
  truncatedPairs: 0,
  omittedPairs: 0,
};

interface SupplyOptions {
  readonly seed: number;
  readonly contextLength: number;
  readonly shuffleTokens: number;
}

export const supplyOptions = ({ seed, model, corpus }: Pick<Config, 'seed' | 'model' | 'corpus'>): SupplyOptions => ({
  seed,
  contextLength: model.contextLength,
  shuffleTokens: corpus.shuffleTokens,
});

/**
 * For a mixture, the sum over its sources. Computed from the number of tokens; only pairs and packed documents have to
 * be read once.
 * @param sourceTokens tokens of the training part, per source of a mixture
 * @throws wrongInput if no token counts towards the loss, and as tokenChunks
 */
export async function trainingSupply(
  corpus: Corpus,
  tokenizer: Tokenizer,
  options: SupplyOptions,
  sourceTokens: readonly number[],
): Promise<TrainingSupply> {
  const total: { -readonly [Key in keyof TrainingSupply]: number } = { ...nothing };
  const corpora = corpus.mixture?.map((source) => corpusOf(corpus, source)) ?? [corpus];
  for (const [i, one] of corpora.entries()) {
    const isRead = one.packing === 'documents' || one.hasLossMask === true;
    const supply = isRead
      ? await countedSupply(one, tokenizer, options, sourceTokens[i]!)
      : plainSupply(options, sourceTokens[i]!);
    for (const key of Object.keys(total) as (keyof TrainingSupply)[]) total[key] += supply[key];
  }
  if (corpus.packing === 'preferences') {
    const counts = { truncatedPairs: 0, omittedPairs: 0, leftoverTokens: 0 };
    const validation = tokenChunks(corpus, corpus.validation, tokenizer);
    for await (const _ of preferenceBlocks(validation, { ...options, firstBlock: 0, counts }));
    total.truncatedPairs += counts.truncatedPairs;
    total.omittedPairs += counts.omittedPairs;
  }
  return total;
}

/**
 * Consecutive windows in which every token counts towards the loss: windows and tokens left over of an epoch that
 * starts at the first token. The offset of another epoch may cost one window.
 */
export function plainSupply({ contextLength }: Pick<SupplyOptions, 'contextLength'>, tokens: number): TrainingSupply {
  const windows = Math.max(0, Math.floor((tokens - 1) / contextLength));
  const leftoverTokens = windows === 0 ? tokens : tokens - 1 - windows * contextLength;
  return { ...nothing, windows, places: windows * contextLength, tokens, learntTokens: tokens, leftoverTokens };
}

async function countedSupply(
  corpus: Corpus,
  tokenizer: Tokenizer,
  options: SupplyOptions,
  tokens: number,
): Promise<TrainingSupply> {
  const { contextLength } = options;
  const packsDocuments = corpus.packing === 'documents';
  const { splitDocuments, leftoverTokens, learntTokens, truncatedPairs, omittedPairs } = nothing;
  const counts = { splitDocuments, leftoverTokens, learntTokens, truncatedPairs, omittedPairs };
  const isPreference = corpus.packing === 'preferences';
  const chunks = countingLossTokens(tokenChunks(corpus, corpus.training, tokenizer), counts);
  const blocks = isPreference
    ? preferenceBlocks(chunks, { ...options, firstBlock: 0, counts })
    : packsDocuments
      ? documentBlocks(chunks, tokenizer, { ...options, firstBlock: 0, insideDocument: false, counts })
      : epochBlocks(chunks, tokenizer, { ...options, epoch: 0, firstBlock: 0, maximumTokens: tokens });
  let [windows, places] = [0, 0];
  for await (const block of blocks) {
    for (let window = 0; window < block.windows; window++) {
      const pieces = piecesOf(block, window, contextLength);
      if (!pieces.some((piece) => hasTarget(piece, block.lossMask))) continue; // prompts only: training skips it
      windows++;
      for (const { startToken, endToken } of pieces) places += endToken - startToken - 1;
    }
  }
  if (windows === 0) throw noLossTokens();
  return {
    ...counts,
    windows,
    places,
    tokens,
    leftoverTokens: packsDocuments || isPreference ? counts.leftoverTokens : tokens - 1 - places,
  };
}

async function* countingLossTokens(
  chunks: AsyncIterable<TokenChunk>,
  counts: { learntTokens: number },
): AsyncGenerator<TokenChunk, void, void> {
  for await (const chunk of chunks) {
    counts.learntTokens += chunk.lossMask?.reduce((sum, one) => sum + one, 0) ?? chunk.tokenIds.length;
    yield chunk;
  }
}

/**
 * The shares of padding and of tokens that count towards the loss. Named as in the JSON of `clm plan`.
 * @param windowTokens positions of a window: the context length, of preference pairs twice that
 */
export function supplyShares(
  { windows, places, tokens, learntTokens }: TrainingSupply,
  windowTokens: number,
): { paddingShare: number; learntShare: number } {
  return {
    paddingShare: windows === 0 ? 0 : 1 - places / (windows * windowTokens),
    learntShare: learntTokens / tokens,
  };
}
