/**
 * The format of a file, by its name or as the config says, and its compression, by its first bytes.
 */
import type { Config } from '../../config/schema.ts';
import { wrongInput } from '../../errors.ts';

/** The formats that `format` of a source can name. */
export type Format = Exclude<Config['corpus']['sources'][number]['format'], 'auto'>;
export type Compression = 'gzip' | 'zstd';

/**
 * Extensions of each format, and the unit in which positions in its files are counted. Every other extension is text.
 */
const formats: Readonly<Record<Format, { extensions: readonly string[]; unit: 'byte' | 'row' }>> = {
  text: { extensions: [], unit: 'byte' },
  jsonLines: { extensions: ['jsonl', 'ndjson', 'json'], unit: 'byte' },
  csv: { extensions: ['csv'], unit: 'byte' },
  tsv: { extensions: ['tsv', 'tab'], unit: 'byte' },
  parquet: { extensions: ['parquet'], unit: 'row' },
};

/** The unit of positions in a file of this format. */
export const unitOf = (format: Format = 'text'): 'byte' | 'row' => formats[format].unit;

/** The format by the file's extension, before that of a compression; anything unknown is text. */
export function formatOfName(path: string): Format {
  const extension = /\.([a-z0-9]+)(?:\.(?:gz|gzip|zst|zstd))?$/i.exec(path)?.[1]?.toLowerCase();
  const known = Object.entries(formats).find(([, { extensions }]) => extensions.includes(extension ?? ''));
  return known ? (known[0] as Format) : 'text';
}

/**
 * Refuses archives and unknown compressions, which would otherwise be read as text.
 * @throws wrongInput for a name with such an extension
 */
export function refuseArchive(path: string): void {
  if (!/\.(?:tar(?:\.\w+)?|t[bgx]z|tbz2|zip|7z|rar|bz2|xz|lzma|lz4|br)$/i.test(path)) return;
  throw wrongInput(
    `${path} is an archive or has a compression that clm does not read (it reads plain, gzip and zstd files). Unpack ` +
      'it, or if it is plain text despite its name, name its format in corpus.sources (format: text).',
  );
}

/** By the magic numbers of RFC 1952 and RFC 8878. @throws wrongInput if the file's name says otherwise */
export function compressionOf(head: Uint8Array, path: string): Compression | null {
  const isGzip = head[0] === 0x1f && head[1] === 0x8b;
  const isFrame = head[0] === 0x28 && head[1] === 0xb5 && head[2] === 0x2f && head[3] === 0xfd;
  // A file of pzstd, or one with an index, begins with a frame to skip.
  const isSkippable = head[0]! >>> 4 === 5 && head[1] === 0x2a && head[2] === 0x4d && head[3] === 0x18;
  const isZstd = isFrame || isSkippable;
  const named = /\.(gz|gzip|zst|zstd)$/i.exec(path)?.[1];
  if (named !== undefined && !isGzip && !isZstd && head.length > 0) {
    throw wrongInput(
      `${path} is not a ${named.startsWith('g') ? 'gzip' : 'zstd'} file, although its name says so. Rename it, or ` +
        'get a fresh copy of it.',
    );
  }
  return isGzip ? 'gzip' : isZstd ? 'zstd' : null;
}
