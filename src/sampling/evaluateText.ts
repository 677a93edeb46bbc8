/** The loss of a model over a whole text or corpus, in windows, and what follows from it. */
import { basename } from 'node:path';
import type { Corpus, CorpusFile, CorpusPart, SourceSettings } from '../data/files/corpus.ts';
import { documentsApart } from '../data/windows/documentBlocks.ts';
import { tokenChunks } from '../data/tokens/tokens.ts';
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { overlappingWindows, type OverlappingWindow, type Scoring } from './scoring.ts';

export interface TextEvaluation {
  /** Mean, nats per token. */
  loss: number;
  perplexity: number;
  /** Independent of the tokenizer: bits over the UTF-8 bytes of the tokens scored. */
  bitsPerByte: number;
  /** Tokens scored. */
  tokens: number;
  /** UTF-8 bytes that they stand for; none for special tokens. */
  bytes: number;
}

interface Sums {
  nats: number;
  tokens: number;
  bytes: number;
}

/** `startsText`: what came before is another text, and not looked back on. */
type TokenStream = AsyncIterable<{ tokenIds: Int32Array; lossMask: Uint8Array | null; startsText?: boolean }>;

/**
 * @param overlap see `overlappingWindows`
 * @returns null where the text has no token to score
 */
export async function evaluateTokens(
  scoring: Scoring,
  stream: TokenStream,
  tokenizer: Pick<Tokenizer, 'byteLengths'>,
  overlap: number,
): Promise<TextEvaluation | null> {
  const sums: Sums = { nats: 0, tokens: 0, bytes: 0 };
  let batch: OverlappingWindow[] = [];
  const score = async (): Promise<void> => {
    const losses = await scoring.losses(batch.map(({ tokenIds }) => tokenIds));
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
  for await (const window of overlappingWindows(stream, scoring.contextLength, overlap)) {
    batch.push(window);
    if (batch.length === scoring.batchSize) await score();
  }
  if (batch.length > 0) await score();
  return sums.tokens === 0 ? null : evaluationOf(sums);
}

/**
 * The validation part of a corpus, source by source; each is a text of its own, whose first token is not scored, and so
 * is every document where they are packed whole.
 */
export async function evaluateCorpus(
  scoring: Scoring,
  corpus: Corpus,
  tokenizer: Tokenizer,
  overlap: number,
): Promise<{ whole: TextEvaluation | null; sources: ({ source: string } & TextEvaluation)[] }> {
  const sources: ({ source: string } & TextEvaluation)[] = [];
  for (const { name, files, part } of validationSources(corpus)) {
    const chunks = tokenChunks({ ...corpus, files, tokenCache: undefined }, part, tokenizer);
    const stream = corpus.packing === 'documents' ? documentsApart(chunks, tokenizer) : chunks;
    const evaluation = await evaluateTokens(scoring, stream, tokenizer, overlap);
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
  if (only === undefined) return { whole: null, sources };
  const { source: _, ...single } = only;
  return { whole: sources.length === 1 ? single : evaluationOf(sums), sources };
}

function evaluationOf({ nats, tokens, bytes }: Sums): TextEvaluation {
  const loss = nats / tokens;
  return { loss, perplexity: Math.exp(loss), bitsPerByte: nats / Math.LN2 / bytes, tokens, bytes };
}

/** What validates of each source: of those of a mixture, or of the files that came by one entry of the config. */
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
