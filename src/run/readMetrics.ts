/**
 * Reading `metrics.jsonl`: only its end, only its evaluations, or what is new since the last look. Runs are read while
 * they are being written, so a last line without an end is left for later, and a line that is not a record is skipped.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { errorCode } from '../storage/diskFailure.ts';
import { refusePointerAt } from '../storage/pointerFiles.ts';
import { completeLines, isRecord, parseRecord, type EvaluationRecord, type MetricsRecord } from './metrics.ts';

const tailBytes = 1 << 14;
const lineEnd = 0x0a;
const evaluationMark = Buffer.from('{"kind":"evaluation"');

/** The end of the file. */
interface MetricsTail {
  /** The records of the last 16 KiB, in order. */
  records: MetricsRecord[];
  /** Size of the whole file. */
  bytes: number;
  changedMs: number;
}

/** The last records of a file, or undefined if it does not exist. */
export function readMetricsTail(path: string): MetricsTail | undefined {
  return withFile(path, (file) => {
    const { size, mtimeMs } = fstatSync(file);
    const bytes = Buffer.allocUnsafe(Math.min(tailBytes, size));
    const read = readSync(file, bytes, 0, bytes.length, size - bytes.length);
    // In a longer file the first line is only the end of one.
    const startByte = size > tailBytes ? bytes.indexOf(lineEnd) + 1 : 0;
    return { records: recordsIn(bytes.subarray(startByte, read)), bytes: size, changedMs: mtimeMs };
  });
}

/** The evaluations in a file, found without parsing the step records between them. */
export function readEvaluations(path: string): EvaluationRecord[] {
  const found: EvaluationRecord[] = [];
  for (const bytes of completeLines(path)) {
    for (let at = bytes.indexOf(evaluationMark); at !== -1; at = bytes.indexOf(evaluationMark, at)) {
      const end = bytes.indexOf(lineEnd, at);
      const record = parseRecord(bytes.toString('utf8', at, end));
      if (record?.kind === 'evaluation') found.push(record);
      at = end;
    }
  }
  return found;
}

/** A file that may still be growing. */
interface FollowedMetrics {
  /**
   * The complete records that are new. `restarted` if the file was replaced or became shorter, as on resuming: then the
   * records are all there are, and earlier ones no longer count.
   */
  read(): { records: MetricsRecord[]; restarted: boolean };
}

/** Follows a file; one that does not exist yet has no records yet. */
export function followMetrics(path: string): FollowedMetrics {
  let position = 0;
  let inode: number | undefined;
  const readNew = (file: number): { records: MetricsRecord[]; restarted: boolean } => {
    const { size, ino } = fstatSync(file);
    const restarted = inode !== undefined && (ino !== inode || size < position);
    if (restarted) position = 0;
    inode = ino;
    const bytes = Buffer.alloc(size - position);
    const read = readSync(file, bytes, 0, bytes.length, position);
    const complete = bytes.subarray(0, bytes.subarray(0, read).lastIndexOf(lineEnd) + 1);
    position += complete.length;
    return { records: recordsIn(complete), restarted };
  };
  return { read: () => withFile(path, readNew) ?? { records: [], restarted: false } };
}

/** The records of complete lines. Parsing them as one list is three times as fast as one by one. */
function recordsIn(bytes: Buffer): MetricsRecord[] {
  const endByte = bytes.lastIndexOf(lineEnd);
  if (endByte === -1) return [];
  const text = bytes.toString('utf8', 0, endByte);
  try {
    return (JSON.parse(`[${text.replaceAll('\n', ',')}]`) as unknown[]).filter(isRecord);
  } catch {
    return text.split('\n').flatMap((line) => parseRecord(line) ?? []);
  }
}

function withFile<Result>(path: string, use: (file: number) => Result): Result | undefined {
  refusePointerAt(path);
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(String(errorCode(error)))) return undefined;
    throw error;
  }
  try {
    return use(file);
  } finally {
    closeSync(file);
  }
}
