/**
 * Reads a corpus once from end to end for `clm data check`: its size, what is in it more than once, how much of the
 * validation part is also in the training part, and the first training windows.
 */
import { createHash } from 'node:crypto';

import { wrongInput } from '../../errors.ts';
import { wantsKernels } from '../../processor.ts';
import type { TrainingBatchOptions } from '../windows/batches.ts';
import { fileCounts, rowsPerWindow } from '../files/corpus.ts';
import type { Corpus, CorpusPart, FileCounts } from '../files/corpus.ts';
import { trainingSequence } from '../windows/mixture.ts';
import type { PreparedTokenizer } from '../tokens/prepareTokenizer.ts';
import { textChunks, textsOf } from '../files/textChunks.ts';
import { noCounts } from '../files/utf8Chunks.ts';
import type { ReadCounts } from '../files/utf8Chunks.ts';
import { countTokens } from '../tokens/tokens.ts';
import { sourceByteAt } from '../utf8.ts';
import { supplyShares, trainingSupply } from '../windows/trainingSupply.ts';
import type { EqualFiles } from './equalFiles.ts';
import { learntExamples, type LearntExample } from './learntExample.ts';
import { lineHasher } from './lines.ts';
import { placesOf, type Place } from './places.ts';
import { openRepetition, type Repetition, type TextSink } from './repetition.ts';

export interface PartContent {
  documents: number;
  tokens: number;
  /** UTF-8 bytes of the documents' decompressed text. */
  bytes: number;
}

/** Field names are those of the command's JSON. */
export interface CorpusCheck extends PartContent, ReadCounts, FileCounts {
  bytesPerToken: number;
  vocabularySize: number;
  training: PartContent;
  validation: PartContent;
  /** Where the validation part begins, if that is inside a file of running text; else null. */
  validationStart: Place | null;
  /** See `Repetition`: documents, equal files and lines that occur more than once. */
  duplicates: Repetition['duplicates'];
  duplicateExamples: Repetition['duplicateExamples'];
  equalFiles: EqualFiles;
  repeated: Repetition['repeated'];
  overlap: Repetition['overlap'];
  /** Share of the training tokens that count towards the loss: 1 without pairs. */
  learntShare: number;
  windowsPerEpoch: number;
  /** Share of padding in the windows: 0 unless documents are packed. */
  paddingShare: number;
  /** Tokens of an epoch that are in no training window. */
  leftoverTokens: number;
  /** Documents longer than a window; 0 unless documents are packed. */
  splitDocuments: number;
  /** Preference pairs that are cut, and those left out because their prompt fills the context. */
  truncatedPairs: number;
  omittedPairs: number;
  /** Bytes of one micro-batch's attention mask between documents; 0 unless documents are packed. */
  maskBytes: number;
  /** The content of each source of a mixture; absent without a mixture. */
  sources?: Record<string, { training: PartContent; validation: PartContent }>;
  /** One chat or pair with what is learnt of it; absent if the corpus has none, or no examples are wanted. */
  learntExample?: LearntExample;
  /** Of a preference pair, whose chosen completion is in `learntExample`: the same with the rejected one. */
  rejectedExample?: LearntExample;
  examples: ExampleWindow[];
}

/** Of one window: clm's kernels need the first key of each query, TensorFlow's operations a matrix. */
const maskNumbers = (contextLength: number): number => (wantsKernels() ? contextLength : contextLength ** 2);

/** A decoded training window, or a row of a preference pair: the target of each input token is the token after it. */
export interface ExampleWindow {
  tokenIds: number[];
  targetIds: number[];
  tokens: string[];
  targets: string[];
  /** Whether each target counts towards the loss. */
  learnt: boolean[];
}

/**
 * Reads both parts once, and the training part again if there are pairs or packed documents. Memory: that of
 * `openRepetition`.
 * @throws wrongInput for unreadable text, or if no token counts towards the loss
 */
export async function checkCorpus(
  corpus: Corpus,
  { tokenizer, trainingTokens, sourceTokens, validationTokens }: PreparedTokenizer,
  options: TrainingBatchOptions & { examples: number },
): Promise<CorpusCheck> {
  const counts = noCounts();
  const repetition = openRepetition();
  /** The contents of a part, per source of a mixture. */
  const read = async (side: 'training' | 'validation'): Promise<Omit<PartContent, 'tokens'>[]> => {
    const contents: Omit<PartContent, 'tokens'>[] = [];
    for (const one of corpus[side].parts ?? [corpus[side]])
      contents.push(await readPart(corpus, one, repetition.of(side), counts));
    return contents;
  };
  const validationContents = await read('validation');
  const trainingContents = await read('training');
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
  const [learnt, rejected] = options.examples === 0 ? [] : await learntExamples(corpus, tokenizer);
  return {
    documents: training.documents + validation.documents,
    tokens,
    bytes,
    bytesPerToken: bytes / tokens,
    training,
    validation,
    ...counts,
    ...fileCounts(corpus),
    vocabularySize: tokenizer.vocabularySize,
    validationStart: await validationStart(corpus),
    ...(await repetition.found(corpus)),
    ...supplyShares(supply, contextLength * rowsPerWindow(corpus.packing)),
    windowsPerEpoch: supply.windows,
    leftoverTokens: supply.leftoverTokens,
    splitDocuments: supply.splitDocuments,
    truncatedPairs: supply.truncatedPairs,
    omittedPairs: supply.omittedPairs,
    maskBytes: corpus.packing === 'documents' ? 4 * options.microBatchSize * maskNumbers(contextLength) : 0,
    ...(corpus.mixture && { sources }),
    ...(learnt && { learntExample: learnt }),
    ...(rejected && { rejectedExample: rejected }),
    examples: await exampleWindows(corpus, tokenizer, options),
  };
}

const together = (contents: readonly Omit<PartContent, 'tokens'>[], tokens: number): PartContent => ({
  documents: contents.reduce((sum, { documents }) => sum + documents, 0),
  tokens,
  bytes: contents.reduce((sum, { bytes }) => sum + bytes, 0),
});

/** The place at which the split cuts a file of running text. */
async function validationStart(corpus: Corpus): Promise<Place | null> {
  const { startByte, parts } = corpus.validation;
  const isCut = corpus.files.some((file) => startByte > file.startByte && startByte < file.startByte + file.bytes);
  if (corpus.separatesDocuments === true || parts !== undefined || !isCut) return null;
  return (await placesOf(corpus, [startByte]))[0]!;
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
  let startByte = part.startByte;
  const lines = lineHasher(sink.line);
  for await (const chunk of textChunks(corpus, part, { counts })) {
    if (chunk.startsDocument) ({ startByte } = chunk);
    // A document that is read whole is one place: that of its record.
    const { sourceOffsets } = chunk;
    const positionOf = sourceOffsets ? (i: number) => sourceByteAt(sourceOffsets, i) : () => startByte;
    for (const text of textsOf(chunk)) {
      bytes += text.length;
      lines.write(text, positionOf);
      if (!isRunning) hash.update(text);
    }
    if (!chunk.endsDocument) continue;
    lines.end();
    if (isRunning) continue;
    documents++;
    const digest = hash.digest();
    sink.document(digest.readUInt32LE(0), digest.readUInt32LE(4), startByte);
    hash = createHash('sha256');
  }
  return { documents, bytes };
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
  const { contextLength: T } = options;
  for await (const batch of trainingSequence(corpus, tokenizer, { ...options, microBatchSize: 1 })) {
    for (let start = 0; start < batch.inputs.length; start += T) {
      // A row of a preference pair ends with its completion; the rest is padding.
      const row = batch.lossMask.subarray(start, start + T);
      const end = start + (corpus.packing === 'preferences' ? row.lastIndexOf(1) + 1 : T);
      const [tokenIds, targetIds] = [[...batch.inputs.subarray(start, end)], [...batch.targets.subarray(start, end)]];
      shown.push({
        tokenIds,
        targetIds,
        tokens: decodeEach(tokenIds),
        targets: decodeEach(targetIds),
        learnt: Array.from(row.subarray(0, end - start), (value) => value > 0),
      });
      if (shown.length === examples) return shown;
    }
  }
  return shown;
}
