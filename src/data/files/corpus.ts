/**
 * Stage: files. A corpus is one long sequence: the files of all sources end to end, split into training and validation.
 * Positions count bytes of decompressed content, or rows of a Parquet file. A byte order mark at the start of a file is
 * not text and not counted.
 */
import type { WeightSchedule } from '../../config/sections/corpus.ts';
import { wrongInput } from '../../errors.ts';
import { unitOf, type Compression, type Format } from './formats.ts';
import type { ChatTemplateSource } from '../chat/chatTemplate.ts';
import type { LossOn } from '../chat/chatText.ts';
import type { EncodingErrors } from '../utf8.ts';

/** Positions `startByte` (included) to `endByte` (excluded) of the corpus. */
export interface ByteRange {
  readonly startByte: number;
  readonly endByte: number;
}

/** The training or the validation part: a range of the corpus, or some of the documents in it. */
export interface CorpusPart extends ByteRange {
  /**
   * Documents whose hash is below `fraction` are for validation, the others for training; undefined: no split by hash.
   */
  readonly documents?: { readonly fraction: number; readonly side: 'training' | 'validation' } | undefined;
  /** One part per source of a mixture; undefined without a mixture. */
  readonly parts?: readonly CorpusPart[] | undefined;
}

/** A source of a mixture: its training and validation parts, and its share of the training. */
export interface MixtureSource {
  readonly name: string;
  /** Its share of the trained tokens is its weight divided by the sum of all weights. */
  readonly weights: WeightSchedule;
  readonly training: CorpusPart;
  readonly validation: CorpusPart;
}

export interface CorpusFile {
  readonly path: string;
  /** Bytes of text: the size of the content without a byte order mark; rows of a Parquet file. */
  readonly bytes: number;
  /** Position of the file's text in the corpus. */
  readonly startByte: number;
  /** Where the text begins in the content: 3 after a byte order mark, else 0. */
  readonly markBytes: number;
  readonly format?: Format | undefined;
  readonly compression?: Compression | null | undefined;
  /** The source that the file belongs to: how its documents are found. */
  readonly source?: SourceSettings | undefined;
}

/** How the documents of a source are found; the keys of an entry of `corpus.sources`. */
export interface SourceSettings extends WeightSchedule {
  readonly path: string;
  readonly format?: 'auto' | Format | undefined;
  readonly field?: string | undefined;
  readonly quotes?: boolean | undefined;
  readonly emptyRows?: 'error' | 'skip' | undefined;
  readonly prompt?: string | null | undefined;
  readonly completion?: string | null | undefined;
  readonly messages?: string | null | undefined;
  readonly chosen?: string | null | undefined;
  readonly rejected?: string | null | undefined;
  readonly lossOn?: LossOn | undefined;
  readonly documents?: 'running' | 'file' | undefined;
  readonly separator?: string | null | undefined;
  readonly name?: string | null | undefined;
}

/**
 * How tokens fill windows: end to end; whole documents side by side that cannot attend to each other; or preference
 * pairs, whose windows are two of T positions, one for each conversation, padded.
 */
export type Packing = 'concatenate' | 'documents' | 'preferences';

/** Rows of T positions that a window takes in a micro-batch. */
export const rowsPerWindow = (packing: Packing | undefined): number => (packing === 'preferences' ? 2 : 1);

/** Files that the sources name but no text is taken from. */
export interface LeftOutFiles {
  readonly empty: readonly string[];
  /** In folders: files and folders whose names begin with a dot. */
  readonly hidden: readonly string[];
  /** Named more than once, also through links; each counts once. */
  readonly repeated: readonly string[];
}

/** The numbers of `LeftOutFiles`, as in JSON. */
export interface FileCounts {
  emptyFiles: number;
  hiddenFiles: number;
  repeatedFiles: number;
}

export const fileCounts = ({ leftOutFiles }: Pick<Corpus, 'leftOutFiles'>): FileCounts => ({
  emptyFiles: leftOutFiles?.empty.length ?? 0,
  hiddenFiles: leftOutFiles?.hidden.length ?? 0,
  repeatedFiles: leftOutFiles?.repeated.length ?? 0,
});

export interface Corpus {
  readonly files: readonly CorpusFile[];
  readonly leftOutFiles?: LeftOutFiles | undefined;
  readonly bytes: number;
  readonly training: CorpusPart;
  readonly validation: CorpusPart;
  /** Whether the text consists of documents, with an end-of-text token between them; else it is one running text. */
  readonly separatesDocuments?: boolean | undefined;
  /** Whether some documents are pairs or chats, of which only completions or some turns count towards the loss. */
  readonly hasLossMask?: boolean | undefined;
  /** Whether some documents are chats. */
  readonly hasChats?: boolean | undefined;
  /** The day that chat templates are told, as YYYY-MM-DD; null or undefined: today. */
  readonly chatDate?: string | null | undefined;
  /** How chats are rendered; known once the tokenizer is. */
  readonly chats?: ChatTemplateSource | undefined;
  /** Default `concatenate`; `preferences` if the sources are preference pairs. */
  readonly packing?: Packing | undefined;
  /** The sources, if they have weights; undefined: the sources are one sequence. */
  readonly mixture?: readonly MixtureSource[] | undefined;
  readonly encodingErrors?: EncodingErrors | undefined;
  /**
   * The folder of the token cache for exactly these files and parts; undefined: the text is tokenized as it is read.
   */
  readonly tokenCache?: string | undefined;
}

/** What is needed to read a corpus. */
export type ReadableCorpus = Pick<Corpus, 'files' | 'separatesDocuments' | 'encodingErrors' | 'tokenCache' | 'chats'> &
  Partial<Pick<Corpus, 'packing'>>;

/** Whether a file consists of documents, rather than of running text. */
export function hasDocuments({ format, source }: CorpusFile): boolean {
  return (format ?? 'text') !== 'text' || (source?.separator ?? null) !== null || source?.documents === 'file';
}

/** The location in its file of a position in the corpus, e.g. "byte 17 of /texts/a.txt". */
export function locationInFile(file: CorpusFile, byte: number): string {
  const position = file.markBytes + byte - file.startByte;
  return `${unitOf(file.format)} ${position} of ${file.compression ? 'the text in ' : ''}${file.path}`;
}

/** The error for bytes that are not UTF-8. `byte` is a position in the corpus. */
export function badUtf8(file: CorpusFile, byte: number): Error {
  return wrongInput(
    `${file.path} is not UTF-8: invalid bytes at ${locationInFile(file, byte)}. Convert the file to UTF-8, or set ` +
      'corpus.encodingErrors to replace or skip.',
  );
}
