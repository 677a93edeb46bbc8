/**
 * A corpus as one long sequence: the files of all sources laid end to end, split into training and validation. Row 4 of
 * the walk. Positions count bytes of decompressed content (of a Parquet file: rows); a byte order mark at the start of
 * a file is no text, it is left out and so counted nowhere.
 */
import type { WeightSchedule } from '../../config/sections/corpus.ts';
import { wrongInput } from '../../errors.ts';
import type { Compression, Format } from './formats.ts';
import type { EncodingErrors } from '../utf8.ts';

/** Positions `startByte` (included) to `endByte` (excluded) of the corpus. */
export interface ByteRange {
  readonly startByte: number;
  readonly endByte: number;
}

/** What is trained on, or what validates: a range, and of its documents perhaps only some. */
export interface CorpusPart extends ByteRange {
  /** The documents whose hash lies below `fraction` validate, the others train; undefined: all of the range. */
  readonly documents?: { readonly fraction: number; readonly side: 'training' | 'validation' } | undefined;
  /** The parts that it is made of, one for each source of a mixture; undefined: it is one. */
  readonly parts?: readonly CorpusPart[] | undefined;
}

/** A source of a mixture: what of it is trained on and what validates, and how much of the training it is. */
export interface MixtureSource {
  readonly name: string;
  /** Its tokens among those that are trained on are as its weight among all weights. */
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
  /** Where the text begins in the content: 3 behind a byte order mark, else 0. */
  readonly markBytes: number;
  readonly format?: Format | undefined;
  readonly compression?: Compression | null | undefined;
  /** How documents are found in it. */
  readonly source?: SourceSettings | undefined;
}

/** How the documents of a source are found; the keys of an entry of `corpus.sources`. */
export interface SourceSettings extends WeightSchedule {
  readonly path: string;
  readonly format?: 'auto' | Format | undefined;
  readonly field?: string | undefined;
  readonly prompt?: string | null | undefined;
  readonly completion?: string | null | undefined;
  readonly documents?: 'running' | 'file' | undefined;
  readonly separator?: string | null | undefined;
  readonly name?: string | null | undefined;
}

/** How tokens fill windows: one after the other, or whole documents side by side that know nothing of each other. */
export type Packing = 'concatenate' | 'documents';

export interface Corpus {
  readonly files: readonly CorpusFile[];
  readonly bytes: number;
  readonly training: CorpusPart;
  readonly validation: CorpusPart;
  /** Whether the text is made of documents, with an end-of-text between them; else it is one running text. */
  readonly separatesDocuments?: boolean | undefined;
  /** Whether documents are pairs, with the loss on their completions only. */
  readonly hasPairs?: boolean | undefined;
  /** `concatenate` unless it says otherwise. */
  readonly packing?: Packing | undefined;
  /** The sources, where they have weights; else they are one sequence. */
  readonly mixture?: readonly MixtureSource[] | undefined;
  readonly encodingErrors?: EncodingErrors | undefined;
  /** The folder with the tokens of just these files and parts; undefined: they are encoded as they are read. */
  readonly tokenCache?: string | undefined;
}

/** What reading needs of a corpus. */
export type ReadableCorpus = Pick<Corpus, 'files' | 'separatesDocuments' | 'encodingErrors' | 'tokenCache'>;

/** Whether a file is made of documents; a running text is none. */
export function hasDocuments({ format, source }: CorpusFile): boolean {
  return (format ?? 'text') !== 'text' || (source?.separator ?? null) !== null || source?.documents === 'file';
}

/** "byte 17 of /texts/a.txt": the place in its file of a position in the corpus. */
export function placeInFile(file: CorpusFile, byte: number): string {
  const unit = file.format === 'parquet' ? 'row' : 'byte';
  return `${unit} ${file.markBytes + byte - file.startByte} of ${file.compression ? 'the text in ' : ''}${file.path}`;
}

/** The error for bytes that are no UTF-8. `byte` is a position in the corpus. */
export function badUtf8(file: CorpusFile, byte: number): Error {
  return wrongInput(
    `${file.path} is not UTF-8: no character begins at ${placeInFile(file, byte)}. Convert the file to UTF-8, or set corpus.encodingErrors: replace or skip.`,
  );
}
