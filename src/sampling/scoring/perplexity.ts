/** The mean loss of a model over a text or a corpus, with its perplexity and bits per byte. */
import { basename } from 'node:path';
import type { Corpus, CorpusFile, CorpusPart, SourceSettings } from '../../data/files/corpus.ts';
import { noCounts } from '../../data/files/utf8Chunks.ts';
import type { ReadCounts } from '../../data/files/utf8Chunks.ts';
import { documentsApart } from '../../data/windows/documentBlocks.ts';
import { tokenChunks } from '../../data/tokens/tokens.ts';
import type { Tokenizer } from '../../data/tokenizers/tokenizer.ts';
import { overlappingWindows, type OverlappingWindow, type TokenChunk, type TokenLosses } from './overlappingWindows.ts';

export interface TextEvaluation {
  /** Mean, nats per token. */
  loss: number;
  perplexity: number;
  /** Total loss in bits over UTF-8 bytes; unlike the loss, comparable between tokenizers. */
  bitsPerByte: number;
  /** Scored tokens. */
  tokens: number;
  /** UTF-8 bytes of the scored tokens; special tokens have none. */
  bytes: number;
}

interface Sums {
  nats: number;
  tokens: number;
  bytes: number;
}

/**
 * @param overlap see `overlappingWindows`
 * @returns null if no token counts towards the loss
 */
export async function evaluateTokens(
  tokenLosses: TokenLosses,
  stream: AsyncIterable<TokenChunk>,
  tokenizer: Pick<Tokenizer, 'byteLengths'>,
  overlap: number,
): Promise<TextEvaluation | null> {
  const sums: Sums = { nats: 0, tokens: 0, bytes: 0 };
  let batch: OverlappingWindow[] = [];
  const score = async (): Promise<void> => {
    const losses = await tokenLosses.ofWindows(batch.map(({ tokenIds }) => tokenIds));
    for (const [row, { tokenIds, lossMask, context }] of batch.entries()) {
      for (let i = context; i < tokenIds.length; i++) {
        if (lossMask !== null && lossMask[i] === 0) continue;
        sums.nats += losses[row]![i - 1]!;
        sums.tokens++;
        sums.bytes += tokenizer.byteLengths[tokenIds[i]!]!;
      }
    }
    batch = [];
  };
  for await (const window of overlappingWindows(stream, tokenLosses.contextLength, overlap)) {
    batch.push(window);
    if (batch.length === tokenLosses.batchSize) await score();
  }
  if (batch.length > 0) await score();
  return sums.tokens === 0 ? null : evaluationOf(sums);
}

/**
 * Evaluates the validation part of a corpus, source by source. Each source is a text of its own whose first token is
 * not scored; if documents are packed whole, so is each document.
 *
 * @returns the evaluation of all sources together, null if nothing could be scored, and of each source; and what was
 *   repaired or left out of the validation part
 */
export async function evaluateCorpus(
  tokenLosses: TokenLosses,
  corpus: Corpus,
  tokenizer: Tokenizer,
  overlap: number,
): Promise<{
  whole: TextEvaluation | null;
  sources: ({ source: string } & TextEvaluation)[];
  leftOut: ReadCounts;
}> {
  const leftOut = noCounts();
  const sources: ({ source: string } & TextEvaluation)[] = [];
  for (const { name, files, part } of validationSources(corpus)) {
    const chunks = tokenChunks({ ...corpus, files, tokenCache: undefined }, part, tokenizer, { counts: leftOut });
    const stream = corpus.packing === 'documents' ? documentsApart(chunks, tokenizer) : chunks;
    const evaluation = await evaluateTokens(tokenLosses, stream, tokenizer, overlap);
    if (evaluation !== null) sources.push({ source: name, ...evaluation });
  }
  const total = (pick: (evaluation: TextEvaluation) => number): number =>
    sources.reduce((sum, each) => sum + pick(each), 0);
  const sums = {
    nats: total(({ loss, tokens }) => loss * tokens),
    tokens: total(({ tokens }) => tokens),
    bytes: total(({ bytes }) => bytes),
  };
  const [only] = sources;
  if (only === undefined) return { whole: null, sources, leftOut };
  const { source: _, ...single } = only;
  return { whole: sources.length === 1 ? single : evaluationOf(sums), sources, leftOut };
}

function evaluationOf({ nats, tokens, bytes }: Sums): TextEvaluation {
  const loss = nats / tokens;
  return { loss, perplexity: Math.exp(loss), bitsPerByte: nats / Math.LN2 / bytes, tokens, bytes };
}

/** The validation part of each source: of a mixture, or of the files that one entry of the config names. */
function validationSources(corpus: Corpus): { name: string; files: readonly CorpusFile[]; part: CorpusPart }[] {
  const { mixture, validation, files } = corpus;
  if (mixture && validation.parts) return mixture.map(({ name, validation: part }) => ({ name, files, part }));
  const bySource = new Map<SourceSettings | CorpusFile, CorpusFile[]>();
  for (const file of files) bySource.set(file.source ?? file, [...(bySource.get(file.source ?? file) ?? []), file]);
  const named = [...bySource].map(([source, own]) => ({
    name: ('name' in source && source.name) || basename(source.path),
    path: source.path,
    files: own,
  }));
  return named.map(({ name, path, files: own }) => {
    const isUnique = named.filter((other) => other.name === name).length === 1;
    return { name: isUnique ? name : path, files: own, part: validation };
  });
}
