/**
 * Reading `metrics.jsonl`: its end alone, its evaluations alone, or all of it. Runs are read while they are being
 * written, so a last line without an end is left for later, and a line that is no record is passed over.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

/** Any record; what the other keys are depends on the kind. */
export interface MetricsRecord {
  kind: string;
  step: number;
  [key: string]: unknown;
}

const tailBytes = 1 << 14;
const chunkBytes = 1 << 22;
const lineEnd = 0x0a;
const evaluationMark = Buffer.from('{"kind":"evaluation"');

/** What the end of the file says. */
interface MetricsTail {
  /** The records of the last 16 KiB, in order. */
  records: MetricsRecord[];
  bytes: number;
  changedMs: number;
}

/** The last records of a file, or undefined where there is none. */
export function readMetricsTail(path: string): MetricsTail | undefined {
  return withFile(path, (file) => {
    const { size, mtimeMs } = fstatSync(file);
    const bytes = Buffer.allocUnsafe(Math.min(tailBytes, size));
    const read = readSync(file, bytes, 0, bytes.length, size - bytes.length);
    // Of a longer file the first line is only the end of one.
    const startByte = size > tailBytes ? bytes.indexOf(lineEnd) + 1 : 0;
    return { records: recordsIn(bytes.subarray(startByte, read)), bytes: size, changedMs: mtimeMs };
  });
}

/** The evaluations of a file, found without parsing the step records between them. */
export function readEvaluations(path: string): MetricsRecord[] {
  const found: MetricsRecord[] = [];
  eachChunk(path, (bytes) => {
    for (let at = bytes.indexOf(evaluationMark); at !== -1; at = bytes.indexOf(evaluationMark, at)) {
      const end = bytes.indexOf(lineEnd, at);
      const record = parseRecord(bytes.toString('utf8', at, end));
      if (record) found.push(record);
      at = end;
    }
  });
  return found;
}

/** Calls `take` with pieces of the file that end with a line. */
export function eachChunk(path: string, take: (bytes: Buffer) => void): void {
  withFile(path, (file) => {
    let position = 0;
    let chunk = Buffer.allocUnsafe(Math.min(chunkBytes, fstatSync(file).size + 1));
    for (;;) {
      const read = readSync(file, chunk, 0, chunk.length, position);
      const endByte = chunk.subarray(0, read).lastIndexOf(lineEnd) + 1;
      if (endByte > 0) take(chunk.subarray(0, endByte));
      else if (read < chunk.length) return;
      else chunk = Buffer.allocUnsafe(2 * chunk.length); // a line longer than the chunk
      position += endByte;
    }
  });
}

/** The records of complete lines. Parsing them as one list is three times as fast as one by one. */
export function recordsIn(bytes: Buffer): MetricsRecord[] {
  const endByte = bytes.lastIndexOf(lineEnd);
  if (endByte === -1) return [];
  const text = bytes.toString('utf8', 0, endByte);
  try {
    return (JSON.parse(`[${text.replaceAll('\n', ',')}]`) as unknown[]).filter(isRecord);
  } catch {
    return text.split('\n').flatMap((line) => parseRecord(line) ?? []);
  }
}

export function parseRecord(line: string): MetricsRecord | undefined {
  try {
    const record: unknown = JSON.parse(line);
    return isRecord(record) ? record : undefined;
  } catch {
    return undefined;
  }
}

const isRecord = (value: unknown): value is MetricsRecord =>
  typeof value === 'object' && value !== null && 'kind' in value && 'step' in value && typeof value.step === 'number';

function withFile<Result>(path: string, use: (file: number) => Result): Result | undefined {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(String((error as NodeJS.ErrnoException).code))) return undefined;
    throw error;
  }
  try {
    return use(file);
  } finally {
    closeSync(file);
  }
}
