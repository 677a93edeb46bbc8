/** `metrics.jsonl`: one JSON object a line, appended as things happen, and cut back when a run is resumed. */
import { open, type FileHandle } from 'node:fs/promises';
import { mostTextBytes } from '../storage/boundedFile.ts';
import { wrongInput } from '../errors.ts';
import { openAppended } from '../storage/appendedFile.ts';
import { diskFailure, errorCode } from '../storage/diskFailure.ts';
import { exists, replaceFileDurably } from '../storage/durable.ts';

/** What every record has; `step` is the number of updates applied. */
export interface MetricsRecord {
  kind: string;
  step: number;
}

/** An open metrics file. */
export interface MetricsFile {
  /** Appends a record, as `AppendedFile` appends a piece. */
  append<Kind extends MetricsRecord>(record: Kind): void;
  /** Forces everything appended to the disk; to be called before a checkpoint is saved. */
  flush(): void;
  /** Flushes and closes; further calls do nothing. */
  close(): void;
}

/**
 * Opens the file for appending, making it if need be; a symbolic link in its place is refused.
 * @param warn is told once when the disk begins to refuse records
 * @throws environmentFailure when the disk refuses
 */
export function openMetrics(path: string, warn?: (message: string) => void): MetricsFile {
  const { append, flush, close } = openAppended(path, warn);
  return { append: (record) => append(`${JSON.stringify(record)}\n`), flush, close };
}

/** What `truncateMetrics` did. */
interface TruncatedMetrics {
  droppedRecords: number;
  /** Kinds of the records of the resumed step itself that stayed, in their order. */
  kindsAtStep: string[];
}

/**
 * Makes the log what an uninterrupted run would have written by the time it goes on from `step`: drops the
 * records of later steps and a torn last line, in one durable replacement. Records of the step itself stay
 * (its update, and the evaluation and checkpoint that came before the stop), except those that `isDue`
 * denies: where the stop or the end of training fell between intervals, it made an evaluation or checkpoint
 * that the uninterrupted run does not have.
 * A missing file is no error.
 * @throws wrongInput naming the line when one before the last is not a record
 */
export async function truncateMetrics(
  path: string,
  step: number,
  isDue: (record: MetricsRecord) => boolean = () => true,
): Promise<TruncatedMetrics> {
  const result: TruncatedMetrics = { droppedRecords: 0, kindsAtStep: [] };
  if (!(await exists(path))) return result;
  await replaceFileDurably(path, async (temporaryPath) => {
    const output = await open(temporaryPath, 'w');
    try {
      await copyLines(path, output, (record) => {
        const stays = record.step < step || (record.step === step && (record.kind === 'step' || isDue(record)));
        if (!stays) result.droppedRecords++;
        else if (record.step === step) result.kindsAtStep.push(record.kind);
        return stays;
      });
    } finally {
      await output.close();
    }
  });
  return result;
}

/** Copies the lines whose record `stays`, dropping a last line without end or sense. */
async function copyLines(path: string, output: FileHandle, stays: (record: MetricsRecord) => boolean): Promise<void> {
  let badLine: number | undefined;
  let lineNumber = 0;
  for await (const lines of completeLines(path)) {
    let kept = '';
    for (const line of lines) {
      if (badLine !== undefined) {
        throw wrongInput(`${path}:${badLine} is not a record of clm. Delete that line, or the file, and resume again.`);
      }
      lineNumber++;
      const record = parseRecord(line);
      if (record === undefined) badLine = lineNumber;
      else if (stays(record)) kept += `${line}\n`;
    }
    await output.writeFile(kept);
  }
}

/** The lines of a file that have an end, in batches that fit in memory. */
export async function* completeLines(path: string): AsyncGenerator<string[]> {
  try {
    const file = await open(path, 'r');
    try {
      const chunk = Buffer.alloc(1 << 20);
      let carried = Buffer.alloc(0);
      for (;;) {
        const { bytesRead } = await file.read(chunk, 0, chunk.length);
        if (bytesRead === 0) return;
        const bytes = Buffer.concat([carried, chunk.subarray(0, bytesRead)]);
        const endByte = bytes.lastIndexOf('\n') + 1;
        if (endByte > 0) yield bytes.toString('utf8', 0, endByte - 1).split('\n');
        carried = Buffer.from(bytes.subarray(endByte));
        if (carried.length > mostTextBytes)
          throw wrongInput(
            `${path} has a line of more than ${mostTextBytes / 2 ** 20} MiB, which is no record of clm.`,
          );
      }
    } finally {
      await file.close();
    }
  } catch (error) {
    throw errorCode(error) === undefined ? error : diskFailure(error, 'read', path);
  }
}

function parseRecord(line: string): MetricsRecord | undefined {
  try {
    const record = JSON.parse(line) as Partial<MetricsRecord> | null;
    if (typeof record?.step === 'number' && typeof record.kind === 'string') return record as MetricsRecord;
  } catch {
    // not JSON: no record
  }
  return undefined;
}
