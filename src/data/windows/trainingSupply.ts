/** What one epoch contains: its token windows and their tokens. For the plan and `clm data check`. */
import type { Config } from '../../config/schema.ts';
import type { Corpus } from '../files/corpus.ts';
import { documentBlocks } from './documentBlocks.ts';
import { corpusOf } from './mixture.ts';
import type { Tokenizer } from '../tokenizers/tokenizer.ts';
import { tokenChunks } from '../tokens/tokens.ts';
import type { TokenChunk } from '../tokens/tokens.ts';
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
}

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
  const total = { windows: 0, places: 0, tokens: 0, learntTokens: 0, leftoverTokens: 0, splitDocuments: 0 };
  const corpora = corpus.mixture?.map((source) => corpusOf(corpus, source)) ?? [corpus];
  for (const [i, one] of corpora.entries()) {
    const isRead = one.packing === 'documents' || one.hasLossMask === true;
    const supply = isRead
      ? await countedSupply(one, tokenizer, options, sourceTokens[i]!)
      : plainSupply(options, sourceTokens[i]!);
    for (const key of Object.keys(total) as (keyof TrainingSupply)[]) total[key] += supply[key];
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
  return { windows, places: windows * contextLength, tokens, learntTokens: tokens, leftoverTokens, splitDocuments: 0 };
}

async function countedSupply(
  corpus: Corpus,
  tokenizer: Tokenizer,
  options: SupplyOptions,
  tokens: number,
): Promise<TrainingSupply> {
  const { contextLength } = options;
  const packsDocuments = corpus.packing === 'documents';
  const counts = { splitDocuments: 0, leftoverTokens: 0, learntTokens: 0 };
  const chunks = countingLossTokens(tokenChunks(corpus, corpus.training, tokenizer), counts);
  const blocks = packsDocuments
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
    leftoverTokens: packsDocuments ? counts.leftoverTokens : tokens - 1 - places,
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

/** The shares of padding and of tokens that count towards the loss. Named as in the JSON of `clm plan`. */
export function supplyShares(
  { windows, places, tokens, learntTokens }: TrainingSupply,
  contextLength: number,
): { paddingShare: number; learntShare: number } {
  return {
    paddingShare: windows === 0 ? 0 : 1 - places / (windows * contextLength),
    learntShare: learntTokens / tokens,
  };
}
