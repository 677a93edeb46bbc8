/**
 * Reads a corpus once from end to end for `clm data check`: its size, duplicates, how much of the validation part is
 * also in the training part, and the first training windows.
 */
import { createHash } from 'node:crypto';

import { wrongInput } from '../errors.ts';
import type { TrainingBatchOptions } from './windows/batches.ts';
import { fileCounts } from './files/corpus.ts';
import type { Corpus, CorpusPart, FileCounts } from './files/corpus.ts';
import { trainingSequence } from './windows/mixture.ts';
import type { PreparedTokenizer } from './tokens/prepareTokenizer.ts';
import { textChunks } from './files/textChunks.ts';
import { noCounts } from './files/utf8Chunks.ts';
import type { ReadCounts } from './files/utf8Chunks.ts';
import { countTokens } from './tokens/tokens.ts';
import { supplyShares, trainingSupply } from './windows/trainingSupply.ts';

export interface PartContent {
  documents: number;
  tokens: number;
  /** UTF-8 bytes of the documents' decompressed text. */
  bytes: number;
}

/** Field names are those of the command's JSON. */
export interface CorpusCheck extends PartContent, ReadCounts, FileCounts {
  bytesPerToken: number;
  training: PartContent;
  validation: PartContent;
  /** Documents with the same text as an earlier document. */
  duplicates: number;
  /** How much of the validation part is also in the training part. Lines of fewer than 40 bytes are not counted. */
  overlap: { documents: number; lines: number; ofLines: number };
  /** Share of the training tokens that count towards the loss: 1 without pairs. */
  learntShare: number;
  windowsPerEpoch: number;
  /** Share of padding in the windows: 0 unless documents are packed. */
  paddingShare: number;
  /** Tokens of an epoch that are in no training window. */
  leftoverTokens: number;
  /** Documents longer than a window; 0 unless documents are packed. */
  splitDocuments: number;
  /** Bytes of one micro-batch's attention mask between documents; 0 unless documents are packed. */
  maskBytes: number;
  /** The content of each source of a mixture; absent without a mixture. */
  sources?: Record<string, { training: PartContent; validation: PartContent }>;
  examples: ExampleWindow[];
}

/** A decoded training window: the target of each input token is the token after it. */
export interface ExampleWindow {
  tokenIds: number[];
  targetIds: number[];
  tokens: string[];
  targets: string[];
  /** Whether each target counts towards the loss. */
  learnt: boolean[];
}

/**
 * Reads both parts once, and the training part again if there are pairs or packed documents. Memory: a hash for every
 * document and for every line of the validation part.
 * @throws wrongInput for unreadable text, or if no token counts towards the loss
 */
export async function checkCorpus(
  corpus: Corpus,
  { tokenizer, trainingTokens, sourceTokens, validationTokens }: PreparedTokenizer,
  options: TrainingBatchOptions & { examples: number },
): Promise<CorpusCheck> {
  const counts = noCounts();
  const validationDocuments = new Set<number>();
  const validationLines = new Set<number>();
  /** The contents of a part, per source of a mixture. */
  const read = async (part: CorpusPart, sink: TextSink): Promise<Omit<PartContent, 'tokens'>[]> => {
    const contents: Omit<PartContent, 'tokens'>[] = [];
    for (const one of part.parts ?? [part]) contents.push(await readPart(corpus, one, sink, counts));
    return contents;
  };
  let duplicates = 0;
  const validationContents = await read(corpus.validation, {
    document: (hash) => {
      if (validationDocuments.has(hash)) duplicates++;
      validationDocuments.add(hash);
    },
    line: (hash) => void validationLines.add(hash),
  });
  const trainingDocuments = new Set<number>();
  const sharedDocuments = new Set<number>();
  const sharedLines = new Set<number>();
  const trainingContents = await read(corpus.training, {
    document: (hash) => {
      if (trainingDocuments.has(hash) || validationDocuments.has(hash)) duplicates++;
      if (validationDocuments.has(hash)) sharedDocuments.add(hash);
      trainingDocuments.add(hash);
    },
    line: (hash) => validationLines.has(hash) && sharedLines.add(hash),
  });
  const [training, validation] = [
    together(trainingContents, trainingTokens),
    together(validationContents, validationTokens),
  ];
  const bytes = training.bytes + validation.bytes;
  const tokens = trainingTokens + validationTokens;
  if (tokens === 0) throw wrongInput('The corpus contains no text: it has no documents, or all of them are empty.');
  const { contextLength } = options;
  const supply = await trainingSupply(corpus, tokenizer, options, sourceTokens);
  const sources: NonNullable<CorpusCheck['sources']> = {};
  for (const [i, { name, validation: part }] of (corpus.mixture ?? []).entries()) {
    const ownValidation =
      validationContents.length > 1
        ? { ...validationContents[i]!, tokens: await countTokens(corpus, part, tokenizer) }
        : validation;
    sources[name] = { training: { ...trainingContents[i]!, tokens: sourceTokens[i]! }, validation: ownValidation };
  }
  return {
    documents: training.documents + validation.documents,
    tokens,
    bytes,
    bytesPerToken: bytes / tokens,
    training,
    validation,
    ...counts,
    ...fileCounts(corpus),
    duplicates,
    overlap: { documents: sharedDocuments.size, lines: sharedLines.size, ofLines: validationLines.size },
    ...supplyShares(supply, contextLength),
    windowsPerEpoch: supply.windows,
    leftoverTokens: supply.leftoverTokens,
    splitDocuments: supply.splitDocuments,
    maskBytes: corpus.packing === 'documents' ? 4 * options.microBatchSize * contextLength ** 2 : 0,
    ...(corpus.mixture && { sources }),
    examples: await exampleWindows(corpus, tokenizer, options),
  };
}

const together = (contents: readonly Omit<PartContent, 'tokens'>[], tokens: number): PartContent => ({
  documents: contents.reduce((sum, { documents }) => sum + documents, 0),
  tokens,
  bytes: contents.reduce((sum, { bytes }) => sum + bytes, 0),
});

interface TextSink {
  document(hash: number): void;
  line(hash: number): unknown;
}

/** Every file of running text counts as a document, in the part in which it starts. */
async function readPart(
  corpus: Corpus,
  part: CorpusPart,
  sink: TextSink,
  counts: ReadCounts,
): Promise<Omit<PartContent, 'tokens'>> {
  const isRunning = corpus.separatesDocuments !== true;
  let documents = isRunning
    ? corpus.files.filter(({ startByte }) => startByte >= part.startByte && startByte < part.endByte).length
    : 0;
  let bytes = 0;
  let hash = createHash('sha256');
  const lines = lineHasher(sink.line);
  for await (const chunk of textChunks(corpus, part, { counts })) {
    for (const text of chunk.completion === null ? [chunk.bytes] : [chunk.bytes, chunk.completion]) {
      bytes += text.length;
      lines.write(text);
      if (!isRunning) hash.update(text);
    }
    if (!chunk.endsDocument) continue;
    lines.end();
    if (isRunning) continue;
    documents++;
    sink.document(shortHash(hash.digest()));
    hash = createHash('sha256');
  }
  return { documents, bytes };
}

/** 48 bits: among a million documents, two different ones have the same hash with a probability of 1 in 500. */
const shortHash = (digest: Buffer): number => digest.readUIntBE(0, 6);

const shortestLineBytes = 40;

/** Hashes the lines of a text that comes in chunks, by FNV-1a in two lanes of 26 bits each. */
function lineHasher(line: (hash: number) => unknown): { write(text: Uint8Array): void; end(): void } {
  let first = 0x811c9dc5;
  let second = 0x9747b28c;
  let length = 0;
  const end = (): void => {
    if (length >= shortestLineBytes) line((first >>> 6) * 2 ** 26 + (second >>> 6));
    first = 0x811c9dc5;
    second = 0x9747b28c;
    length = 0;
  };
  return {
    write: (text) => {
      for (let i = 0; i < text.length; i++) {
        const byte = text[i]!;
        if (byte === 0x0a) end();
        else if (byte !== 0x0d) {
          first = Math.imul(first ^ byte, 0x01000193);
          second = Math.imul(second ^ byte, 0x5bd1e995) ^ (second >>> 15);
          length++;
        }
      }
    },
    end,
  };
}

async function exampleWindows(
  corpus: Corpus,
  tokenizer: PreparedTokenizer['tokenizer'],
  { examples, ...options }: TrainingBatchOptions & { examples: number },
): Promise<ExampleWindow[]> {
  const shown: ExampleWindow[] = [];
  const decodeEach = (ids: number[]): string[] =>
    ids.map((id) => tokenizer.decode([id], { specialTokens: true, continuesText: true }));
  if (examples === 0) return shown;
  for await (const { inputs, targets, lossMask } of trainingSequence(corpus, tokenizer, {
    ...options,
    microBatchSize: 1,
  })) {
    const [tokenIds, targetIds] = [[...inputs], [...targets]];
    shown.push({
      tokenIds,
      targetIds,
      tokens: decodeEach(tokenIds),
      targets: decodeEach(targetIds),
      learnt: Array.from(lossMask, (value) => value > 0),
    });
    if (shown.length === examples) break;
  }
  return shown;
}
