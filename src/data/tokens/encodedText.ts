/**
 * Stage: token ids. Tokenizes text piece by piece, in this thread or on worker threads. Where pieces are cut depends
 * only on the text, so ids and positions are the same either way.
 */
import { lossMaskOf } from '../chat/lossMask.ts';
import type { ByteSpan } from '../chat/lossMask.ts';
import type { CorpusPart, ReadableCorpus } from '../files/corpus.ts';
import { textChunks } from '../files/textChunks.ts';
import { encodedPreferences } from './encodedPreferences.ts';
import type { EncodedPieces, PiecesOfText, TokenizingWorkers } from './tokenizingWorkers.ts';
import type { TextOrigin, Tokenizer } from '../tokenizers/tokenizer.ts';
import { sourceByteAt } from '../utf8.ts';
import type { SourceOffset } from '../utf8.ts';
import type { ReadOptions } from '../files/utf8Chunks.ts';

export interface EncodeOptions extends ReadOptions {
  /** Threads that tokenize; undefined: the calling thread. */
  readonly workers?: TokenizingWorkers | undefined;
  /** Receives warnings for the user, e.g. that the token cache is damaged. */
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** The tokens of a document, of a part of one, or of a piece of running text. */
export interface EncodedText {
  /** Position in the corpus: a part that starts there yields these tokens first. */
  readonly startByte: number;
  /** At least one. */
  readonly tokenIds: Int32Array;
  /** 1 for each token that counts towards the loss, 0 for those of prompts; null if all count. */
  readonly lossMask: Uint8Array | null;
  /** Whether the first token begins a document. */
  readonly startsDocument: boolean;
  /** Whether the last token ends a document. */
  readonly endsDocument: boolean;
}

/** A piece of text that can be tokenized by itself. */
interface Piece {
  readonly startByte: number;
  /** Well-formed UTF-8. Valid until the next piece is asked for. */
  readonly utf8: Uint8Array;
  /** Of a pair: what follows the prompt `utf8`. Tokenized separately, so that neither changes the other's tokens. */
  readonly completion: Uint8Array | null;
  /** Of a chat: the parts of `utf8` that count towards the loss; else null. */
  readonly lossSpans: readonly ByteSpan[] | null;
  readonly startsDocument: boolean;
  readonly endsDocument: boolean;
  readonly origin: TextOrigin;
}

/**
 * The tokens of `part`, whose `startByte` may also be that of an earlier `EncodedText`. If the corpus has documents and
 * the tokenizer an end-of-text token, it follows every document.
 * @throws wrongInput for unreadable text or a character that is not in the vocabulary, in place of its tokens
 */
export async function* encodedText(
  corpus: ReadableCorpus,
  part: CorpusPart,
  tokenizer: Tokenizer,
  options: EncodeOptions = {},
): AsyncGenerator<EncodedText, void, void> {
  if (corpus.packing === 'preferences') {
    yield* encodedPreferences(corpus, part, tokenizer, options);
    return;
  }
  const pieces = piecesOf(corpus, part, tokenizer, options);
  const endOfText = corpus.separatesDocuments === true ? tokenizer.endOfText : null;
  if (options.workers !== undefined) {
    yield* encodedByWorkers(pieces, tokenizer, endOfText, options.workers);
    return;
  }
  for await (const piece of pieces) {
    const text = encodedPiece(piece, tokenizer, endOfText);
    if (text.tokenIds.length > 0) yield text;
  }
}

async function* piecesOf(
  corpus: ReadableCorpus,
  part: CorpusPart,
  tokenizer: Tokenizer,
  options: ReadOptions,
): AsyncGenerator<Piece, void, void> {
  const remedy = 'The corpus has changed since its vocabulary was made: restore it, or start a new run.';
  let held = new Uint8Array(0); // the end of a chunk, to be tokenized together with the next chunk
  let heldOffsets: readonly SourceOffset[] = [];
  let heldStartsDocument = false;
  for await (const chunk of textChunks(corpus, part, options)) {
    const heldBytes = held.length;
    const origin = { location: (index: number) => `at ${chunk.location(index - heldBytes)}`, remedy };
    const { completion, lossSpans, endsDocument } = chunk;
    const startsDocument: boolean = heldBytes > 0 ? heldStartsDocument : chunk.startsDocument;
    const utf8 = heldBytes > 0 ? Buffer.concat([held, chunk.bytes]) : chunk.bytes;
    const sourceOffsets = followedBy(
      heldOffsets,
      heldBytes,
      chunk.sourceOffsets ?? [{ index: 0, byte: chunk.startByte }],
    );
    const bytes = endsDocument ? utf8.length : tokenizer.certainBytes(utf8);
    if (bytes > 0 || completion !== null)
      yield {
        startByte: sourceOffsets[0]!.byte,
        utf8: utf8.subarray(0, bytes),
        completion,
        lossSpans,
        startsDocument,
        endsDocument,
        origin,
      };
    held = utf8.slice(bytes);
    heldOffsets =
      held.length === 0
        ? []
        : [
            { index: 0, byte: sourceByteAt(sourceOffsets, bytes) },
            ...sourceOffsets
              .filter(({ index }) => index > bytes)
              .map(({ index, byte }) => ({ index: index - bytes, byte })),
          ];
    heldStartsDocument = startsDocument && bytes === 0;
  }
}

/** The source offsets of a text of `bytes` bytes followed by another text. */
function followedBy(
  sourceOffsets: readonly SourceOffset[],
  bytes: number,
  next: readonly SourceOffset[],
): readonly SourceOffset[] {
  if (bytes === 0) return next;
  const moved = next.map(({ index, byte }) => ({ index: index + bytes, byte }));
  return sourceByteAt(sourceOffsets, bytes) === moved[0]!.byte
    ? [...sourceOffsets, ...moved.slice(1)]
    : [...sourceOffsets, ...moved];
}

function encodedPiece(piece: Piece, tokenizer: Tokenizer, endOfText: number | null): EncodedText {
  const { utf8, completion, lossSpans, startsDocument, origin } = piece;
  const encode = (text: Uint8Array, startsText: boolean): Int32Array =>
    tokenizer.encodeChunk(text, { startsText, endsText: true, isChat: lossSpans !== null }, origin).tokenIds;
  const textIds = encode(utf8, startsDocument);
  const completionIds = completion === null ? null : encode(completion, startsDocument && utf8.length === 0);
  return joined(piece, textIds, completionIds, tokenizer, endOfText);
}

/** The tokens of a piece with its loss mask. A template writes the end of a chat itself. */
function joined(
  { startByte, startsDocument, endsDocument, utf8, lossSpans, origin }: Piece,
  text: Int32Array,
  completion: Int32Array | null,
  tokenizer: Tokenizer,
  endOfText: number | null,
): EncodedText {
  const position = { startByte, startsDocument, endsDocument };
  if (lossSpans !== null) {
    const lossMask = lossMaskOf(utf8, text, lossSpans, tokenizer, () => origin.location(0));
    return { ...position, tokenIds: text, lossMask };
  }
  const end = endsDocument && endOfText !== null ? 1 : 0;
  if (completion === null && end === 0) return { ...position, tokenIds: text, lossMask: null };
  const tokenIds = new Int32Array(text.length + (completion?.length ?? 0) + end);
  tokenIds.set(text);
  if (completion !== null) tokenIds.set(completion, text.length);
  if (end === 1) tokenIds[tokenIds.length - 1] = endOfText!;
  // An empty completion is a missing answer: not even its end-of-text counts towards the loss.
  const maskValue = completion?.length === 0 ? 0 : 1;
  return {
    ...position,
    tokenIds,
    lossMask: completion === null ? null : new Uint8Array(tokenIds.length).fill(maskValue, text.length),
  };
}

/** Minimum bytes of text sent to a worker at a time. */
const jobBytes = 128 * 1024;

/** Jobs under way per worker: one running and one waiting. */
const jobsPerWorker = 2;

/** Tokenizes with several jobs under way. An error is thrown in place of the tokens that failed. */
async function* encodedByWorkers(
  pieces: AsyncGenerator<Piece, void, void>,
  tokenizer: Tokenizer,
  endOfText: number | null,
  workers: TokenizingWorkers,
): AsyncGenerator<EncodedText, void, void> {
  const jobs = jobsOf(pieces);
  const underWay: Promise<{ job: Job; encoded: EncodedPieces | null }>[] = [];
  let isReading = true;
  try {
    for (;;) {
      while (isReading && underWay.length < jobsPerWorker * workers.count) {
        const next = await jobs.next();
        if (next.done === true) {
          isReading = false;
          break;
        }
        const job = next.value;
        const answer =
          'failure' in job
            ? Promise.reject<never>(job.failure)
            : workers.encode(job.text).then((encoded) => ({ job, encoded }));
        answer.catch(() => undefined); // handled when it is due
        underWay.push(answer);
      }
      const due = underWay.shift();
      if (due === undefined) return;
      const { job, encoded } = await due;
      // If a piece was refused, tokenizing it in this thread throws the error with its location.
      const texts =
        encoded === null
          ? encodedInThisThread(job.pieces, tokenizer, endOfText)
          : splitIntoTexts(job.pieces, encoded, tokenizer, endOfText);
      for (const text of texts) if (text.tokenIds.length > 0) yield text;
    }
  } finally {
    await jobs.return();
  }
}

function* encodedInThisThread(
  pieces: readonly Piece[],
  tokenizer: Tokenizer,
  endOfText: number | null,
): Generator<EncodedText, void, void> {
  for (const piece of pieces) yield encodedPiece(piece, tokenizer, endOfText);
}

function* splitIntoTexts(
  pieces: readonly Piece[],
  { tokenIds, ends }: EncodedPieces,
  tokenizer: Tokenizer,
  endOfText: number | null,
): Generator<EncodedText, void, void> {
  let index = 0;
  let start = 0;
  const next = (): Int32Array => {
    const end = ends[index++]!;
    const ids = tokenIds.subarray(start, end);
    start = end;
    return ids;
  };
  for (const piece of pieces) {
    const text = next();
    yield joined(piece, text, piece.completion === null ? null : next(), tokenizer, endOfText);
  }
}

interface Job {
  readonly pieces: readonly Piece[];
  readonly text: PiecesOfText;
}

/** Copies pieces into jobs, several short documents to one. A read error is yielded after the jobs before it. */
async function* jobsOf(
  pieces: AsyncGenerator<Piece, void, void>,
): AsyncGenerator<Job | { failure: unknown }, void, void> {
  let gathered: Piece[] = [];
  let bytes = 0;
  try {
    for await (const piece of pieces) {
      gathered.push({ ...piece, utf8: piece.utf8.slice(), completion: piece.completion?.slice() ?? null });
      bytes += piece.utf8.length + (piece.completion?.length ?? 0);
      if (bytes < jobBytes) continue;
      yield jobOf(gathered);
      gathered = [];
      bytes = 0;
    }
  } catch (failure) {
    if (gathered.length > 0) yield jobOf(gathered);
    yield { failure };
    return;
  }
  if (gathered.length > 0) yield jobOf(gathered);
}

function jobOf(pieces: readonly Piece[]): Job {
  const texts = pieces.flatMap(({ utf8, completion, lossSpans, startsDocument }) => [
    { utf8, startsText: startsDocument, isChat: lossSpans !== null },
    ...(completion === null
      ? []
      : [{ utf8: completion, startsText: startsDocument && utf8.length === 0, isChat: false }]),
  ]);
  let end = 0;
  const ends = Uint32Array.from(texts, ({ utf8 }) => (end += utf8.length));
  const startsText = Uint8Array.from(texts, (text) => (text.startsText ? 1 : 0));
  const isChat = Uint8Array.from(texts, (text) => (text.isChat ? 1 : 0));
  return {
    pieces,
    text: {
      utf8: texts.length === 1 ? texts[0]!.utf8 : Buffer.concat(texts.map(({ utf8 }) => utf8)),
      ends,
      startsText,
      isChat,
    },
  };
}
