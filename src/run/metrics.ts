/**
 * `metrics.jsonl`: one JSON object a line, appended as things happen, and cut back when a run is resumed. Writers
 * (training) and readers (experiments) share the record types here.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { mostTextBytes } from '../storage/boundedFile.ts';
import { wrongInput } from '../errors.ts';
import { openAppended } from '../storage/appendedFile.ts';
import { diskFailure, errorCode } from '../storage/diskFailure.ts';
import { exists, replaceFileDurably } from '../storage/durable.ts';
import { refusePointerAt } from '../storage/pointerFiles.ts';

/** Why an update was skipped. */
export type SkipReason = 'notFinite' | 'lossOutlier' | 'gradientNormOutlier';

/** Of preference pairs, the means over them. */
export interface PreferenceMeans {
  /** β·(ln p − ln p under the reference) of the chosen completion … */
  rewardChosen: number;
  /** … and of the rejected one. */
  rewardRejected: number;
  /** By how much the first is larger. */
  margin: number;
  /** Share of the pairs, 0 to 1, in which it is. */
  accuracy: number;
}

/** One update. JSON has no NaN or Infinity: in the file such a number is null. */
export interface StepRecord extends Partial<PreferenceMeans> {
  kind: 'step';
  /** Number of updates after this one; the first is 1. */
  step: number;
  /** Mean over the targets before the update, nats per token; of preference pairs their mean loss. */
  loss: number;
  learningRate: number;
  /** Global norm before clipping. */
  gradientNorm: number;
  /** Number of tokens that count towards the loss; absent if all do (no prompts, no padding). */
  targets?: number;
  /** Why the update was skipped; absent if it was applied. */
  skipped?: SkipReason;
  /** Padding not counted. */
  tokensPerSecond: number;
  /** Since this process began to train. */
  elapsedMs: number;
}

/** Loss over a set of token windows. */
export interface Evaluation extends Partial<PreferenceMeans> {
  /** Mean, nats per token; of preference pairs their mean loss, and the following are of the chosen completions. */
  loss: number;
  perplexity: number;
  /** Unlike the loss per token, independent of the tokenizer. */
  bitsPerByte: number;
  /** Number of targets scored. */
  tokens: number;
  /** Number of preference pairs scored. */
  pairs?: number;
  /** The same for each source of a mixture, by its name; absent without a mixture. */
  sources?: Record<string, SourceEvaluation>;
}

export interface SourceEvaluation extends Omit<Evaluation, 'sources'> {
  /** Tokens of this source trained on so far, over all epochs; filled in by the run. */
  trainedTokens?: number;
}

/** Loss on the whole validation text after `step` updates. */
export interface EvaluationRecord extends Evaluation {
  kind: 'evaluation';
  step: number;
}

/** A checkpoint that is complete on disk. */
export interface CheckpointRecord {
  kind: 'checkpoint';
  step: number;
  path: string;
}

/** A line of `metrics.jsonl`; `kind` tells which. */
export type MetricsRecord = StepRecord | EvaluationRecord | CheckpointRecord;

/** An open metrics file. */
export interface MetricsFile {
  /** Appends a record, as `AppendedFile` appends a piece. */
  append(record: MetricsRecord): void;
  /** Forces everything appended to the disk; call it before a checkpoint is saved. */
  flush(): void;
  /** Flushes and closes; further calls do nothing. */
  close(): void;
}

/**
 * Opens the file for appending, creating it if necessary; a symbolic link in its place is refused.
 * @param warn called once when the disk begins to refuse records
 * @throws environmentFailure if the disk refuses
 */
export function openMetrics(path: string, warn?: (message: string) => void): MetricsFile {
  const { append, flush, close } = openAppended(path, warn);
  return { append: (record) => append(`${JSON.stringify(record)}\n`), flush, close };
}

/** What `truncateMetrics` did. */
interface TruncatedMetrics {
  droppedRecords: number;
  /** Kinds of the records of the resumed step itself that were kept, in their order. */
  kindsAtStep: string[];
}

/**
 * Makes the log what an uninterrupted run would have written by the time it continues from `step`: drops the records of
 * later steps and a torn last line, in one durable replacement. Records of the step itself are kept (its update, and
 * the evaluation and checkpoint before the stop), except those for which `isDue` is false: a stop or the end of
 * training between intervals makes an evaluation or checkpoint that the uninterrupted run does not have.
 * A missing file is not an error.
 * @throws wrongInput naming the line if one before the last is not a record
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
        const isKept = record.step < step || (record.step === step && (record.kind === 'step' || isDue(record)));
        if (!isKept) result.droppedRecords++;
        else if (record.step === step) result.kindsAtStep.push(record.kind);
        return isKept;
      });
    } finally {
      await output.close();
    }
  });
  return result;
}

/** Copies the lines whose record is to be kept, dropping a last line that is torn or not a record. */
async function copyLines(path: string, output: FileHandle, isKept: (record: MetricsRecord) => boolean): Promise<void> {
  let badLine: number | undefined;
  let lineNumber = 0;
  for (const bytes of completeLines(path)) {
    let kept = '';
    for (const line of bytes.toString('utf8', 0, bytes.length - 1).split('\n')) {
      if (badLine !== undefined) {
        throw wrongInput(
          `${path}:${badLine} is not a clm metrics record. Delete that line, or the file, and resume again.`,
        );
      }
      lineNumber++;
      const record = parseRecord(line);
      if (record === undefined) badLine = lineNumber;
      else if (isKept(record)) kept += `${line}\n`;
    }
    await output.writeFile(kept);
  }
}

const chunkBytes = 4 << 20;
const lineEnd = 0x0a;

/**
 * The file in pieces that end with a line end, each valid until the next is asked for; a last line without an end is
 * left out. Nothing if the file does not exist.
 * @throws wrongInput for an endless line; environmentFailure if the disk refuses
 */
export function* completeLines(path: string): Generator<Buffer, void, void> {
  refusePointerAt(path);
  let file: number | undefined;
  try {
    file = openSync(path, 'r');
    let position = 0;
    let chunk = Buffer.allocUnsafe(Math.min(chunkBytes, fstatSync(file).size + 1));
    for (;;) {
      const read = readSync(file, chunk, 0, chunk.length, position);
      const endByte = chunk.subarray(0, read).lastIndexOf(lineEnd) + 1;
      if (endByte > 0) yield chunk.subarray(0, endByte);
      else if (read < chunk.length) return;
      else if (chunk.length > mostTextBytes) {
        throw wrongInput(
          `${path} has a line of more than ${mostTextBytes / 2 ** 20} MiB, which is not a clm metrics record.`,
        );
      } else chunk = Buffer.allocUnsafe(2 * chunk.length); // a line longer than the chunk
      position += endByte;
    }
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return;
    throw diskFailure(error, 'read', path);
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** The record in a line, or undefined if it is not one. Only `kind` and `step` are checked. */
export function parseRecord(line: string): MetricsRecord | undefined {
  try {
    const record: unknown = JSON.parse(line);
    return isRecord(record) ? record : undefined;
  } catch {
    return undefined;
  }
}

export const isRecord = (value: unknown): value is MetricsRecord =>
  typeof value === 'object' &&
  value !== null &&
  'kind' in value &&
  typeof value.kind === 'string' &&
  'step' in value &&
  typeof value.step === 'number';
