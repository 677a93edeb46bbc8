/** Columns of Parquet files, one row group at a time. Positions count rows. */
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects, parquetSchema } from 'hyparquet';
import type { FileMetaData, ParquetParsers } from 'hyparquet';
import { compressors as otherCompressors } from 'hyparquet-compressors';

import { wrongInput } from '../../errors.ts';
import { unreadable } from './sourceFiles.ts';
import { zstdPages } from './zstdFrames.ts';

/** The number of rows. @throws wrongInput for a file that is damaged or not Parquet */
export async function parquetRows(path: string): Promise<number> {
  return Number((await openParquet(path)).metadata.num_rows);
}

/** The names of the columns. @throws as `parquetRows` */
export async function parquetColumns(path: string): Promise<string[]> {
  return columnNames((await openParquet(path)).metadata);
}

const columnNames = (metadata: FileMetaData): string[] =>
  parquetSchema(metadata).children.map(({ element }) => element.name);

/**
 * The values of `columns` in rows `startRow` (included) to `endRow` (excluded), with their row numbers; strings as
 * their bytes (a Buffer), which need not be UTF-8. The columns of one row group are in memory at a time.
 * @throws wrongInput naming the file and the rows that are damaged, or the column that is missing
 */
export async function* parquetRecords(
  path: string,
  columns: readonly string[],
  startRow: number,
  endRow: number,
): AsyncGenerator<{ row: number; values: Record<string, unknown> }, void, void> {
  const { file, metadata } = await openParquet(path);
  const names = columnNames(metadata);
  const missing = columns.find((column) => !names.includes(column));
  if (missing !== undefined) {
    const chats = names.find((name) => ['messages', 'conversations', 'conversation'].includes(name));
    const way = chats === undefined ? '' : ` Chats of roles and contents: messages: ${chats} (docs/chat.md).`;
    throw wrongInput(
      `${path} has no column ${JSON.stringify(missing)}; it has ${names.join(', ')}. ` +
        `Set field in corpus.sources.${way}`,
    );
  }
  const twice = columns.find((column) => names.indexOf(column) !== names.lastIndexOf(column));
  if (twice !== undefined)
    throw wrongInput(`${path} has two columns called ${JSON.stringify(twice)}. Rename one, or choose another column.`);
  const usesZstd = metadata.row_groups.some(({ columns: chunks }) => chunks.some((c) => c.meta_data?.codec === 'ZSTD'));
  const compressors = usesZstd ? { ...otherCompressors, ZSTD: await zstdPages() } : otherCompressors;
  let groupStart = 0;
  for (const group of metadata.row_groups) {
    const groupEnd = groupStart + Number(group.num_rows);
    const rowStart = Math.max(startRow, groupStart);
    const rowEnd = Math.min(endRow, groupEnd);
    if (rowStart < rowEnd) {
      let rows: Record<string, unknown>[];
      try {
        rows = await parquetReadObjects({
          file,
          metadata,
          columns: [...columns],
          rowStart,
          rowEnd,
          compressors,
          parsers,
        });
      } catch (error) {
        throw wrongInput(
          `${path} is damaged: rows ${rowStart} to ${rowEnd - 1}: ${(error as Error).message}. Get a fresh copy of it.`,
          { cause: error },
        );
      }
      for (const [i, values] of rows.entries()) yield { row: rowStart + i, values };
    }
    groupStart = groupEnd;
  }
}

/** The reader's own decoder would put U+FFFD in the place of bytes that are not UTF-8. */
const stringFromBytes = (bytes: Uint8Array | undefined): Buffer | undefined =>
  bytes && Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const parsers = { stringFromBytes } as unknown as ParquetParsers; // typed as giving strings; its callers take any value

async function openParquet(
  path: string,
): Promise<{ file: Awaited<ReturnType<typeof asyncBufferFromFile>>; metadata: FileMetaData }> {
  try {
    const file = await asyncBufferFromFile(path);
    return { file, metadata: await parquetMetadataAsync(file) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== undefined) throw unreadable(path, error);
    throw wrongInput(`${path} is not a complete Parquet file: ${(error as Error).message}. Get a fresh copy of it.`, {
      cause: error,
    });
  }
}
