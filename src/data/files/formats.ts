/**
 * What a file of the corpus holds: its format, by name or as the config says, and its compression, by its first bytes.
 */
import { wrongInput } from '../../errors.ts';

export type Format = 'text' | 'jsonLines' | 'csv' | 'tsv' | 'parquet';
export type Compression = 'gzip' | 'zstd';

const formatByEnding: Readonly<Record<string, Format>> = {
  jsonl: 'jsonLines',
  ndjson: 'jsonLines',
  json: 'jsonLines',
  csv: 'csv',
  tsv: 'tsv',
  tab: 'tsv',
  parquet: 'parquet',
};

/** The format that a file's name tells, compression endings aside; anything unknown is text. */
export function formatOfName(path: string): Format {
  const ending = /\.([a-z0-9]+)(?:\.(?:gz|gzip|zst|zstd))?$/i.exec(path)?.[1]?.toLowerCase();
  return formatByEnding[ending ?? ''] ?? 'text';
}

/**
 * Packed files that are not unpacked here would be read as text that nobody wrote.
 * @throws wrongInput for a name that tells of one
 */
export function refuseArchive(path: string): void {
  if (!/\.(?:tar(?:\.\w+)?|t[bgx]z|tbz2|zip|7z|rar|bz2|xz|lzma|lz4|br)$/i.test(path)) return;
  throw wrongInput(
    `${path} is an archive or compressed in a way that clm does not read. Unpack it, or say in corpus.sources what it is (format: text); plain, gzip and zstd files are read.`,
  );
}

/** Names may lie, the magic numbers of RFC 1952 and RFC 8878 do not. @throws wrongInput for a name that does. */
export function compressionOf(head: Uint8Array, path: string): Compression | null {
  const isGzip = head[0] === 0x1f && head[1] === 0x8b;
  const isZstd = head[0] === 0x28 && head[1] === 0xb5 && head[2] === 0x2f && head[3] === 0xfd;
  const named = /\.(gz|gzip|zst|zstd)$/i.exec(path)?.[1];
  if (named !== undefined && !isGzip && !isZstd && head.length > 0) {
    throw wrongInput(
      `${path} is no ${named.startsWith('g') ? 'gzip' : 'zstd'} file, although its name says so. Rename it or fetch it anew.`,
    );
  }
  return isGzip ? 'gzip' : isZstd ? 'zstd' : null;
}
