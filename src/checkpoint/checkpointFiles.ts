/**
 * `state.json`, the manifest of a checkpoint: version, step, the state that training needs to continue, and length and
 * SHA-256 of every other file, so that damage anywhere is found before anything is used.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readBounded } from '../storage/boundedFile.ts';
import { DamagedCheckpointError, wrongInput } from '../errors.ts';
import { diskFailure, errorCode } from '../storage/diskFailure.ts';
import { refusePointerAt } from '../storage/pointerFiles.ts';
import type { FileDigest } from '../tensors/safetensors.ts';
import { hashInThread } from './hashInThread.ts';

export const stateFile = 'state.json';

/** The files beside `state.json`, in the order in which they are written. */
export const checkpointFiles = ['config.yaml', 'tokenizer.json', 'model.safetensors', 'optimizer.safetensors'] as const;
type CheckpointFile = (typeof checkpointFiles)[number];
type FileTable = Record<CheckpointFile, FileDigest>;
/** Eight hexadecimal digits for each tensor, by name. */
type TensorChecksums = Record<string, string>;
/** By the name of the file that holds the tensors. */
type TensorTable = Record<string, TensorChecksums>;

/**
 * What training stores besides tensors: the cursor right after the last micro-batch used, and any further fields. All
 * of it must survive JSON; the reader checks the types of what it reads.
 */
export interface TrainingRecord {
  cursor: unknown;
}

/** A `TrainingRecord` read back. */
export interface StoredRecord extends TrainingRecord {
  [field: string]: unknown;
}

const format = 'clm-checkpoint';
const version = 1;
const ownFields = ['format', 'version', 'step', 'files', 'tensors', 'sha256'];

/** The remedy in every message about damage. */
const useAnother = 'Copy the checkpoint again, or use an older one.';

/** The text of `state.json`; its own hash is its last field. */
export function stateText(step: number, record: TrainingRecord, files: FileTable, tensors: TensorTable): string {
  const taken = ownFields.find((field) => Object.hasOwn(record, field));
  if (taken !== undefined) throw new Error(`the training record may not have a field ${taken}`);
  const content = { format, version, step, ...record, files, tensors };
  return serialise({ ...content, sha256: hashOf(serialise(content)) });
}

/** The contents of `state.json`. */
export interface State {
  step: number;
  record: StoredRecord;
  files: FileTable;
  tensors: TensorTable;
}

/**
 * Reads and checks `state.json`.
 * @throws DamagedCheckpointError if it is missing or damaged; wrongInput if it is of another version
 */
export async function readState(directory: string): Promise<State> {
  const path = join(directory, stateFile);
  const text = (await readCheckpointFile(path)).toString('utf8');
  const damaged = (what: string) => new DamagedCheckpointError(`${path} is damaged: ${what}. ${useAnother}`);
  let content: Record<string, unknown>;
  try {
    content = JSON.parse(text) as Record<string, unknown>;
  } catch {
    throw damaged('it is not valid JSON');
  }
  if (typeof content !== 'object' || content === null || content['format'] !== format) {
    throw wrongInput(`${path} does not belong to a clm checkpoint (it has no "format": "${format}").`);
  }
  if (content['version'] !== version) {
    throw wrongInput(
      `${path} has version ${JSON.stringify(content['version'])} of the checkpoint format; ` +
        `this clm reads version ${version}. Use the clm that wrote it.`,
    );
  }
  const { sha256, ...rest } = content;
  // Comparing the text as well finds changes that JSON.parse ignores, such as a lost line end.
  if (sha256 !== hashOf(serialise(rest)) || serialise(content) !== text) {
    throw damaged('its content does not match its own hash');
  }
  const { format: _format, version: _version, step, files, tensors = {}, ...record } = rest;
  if (!Number.isSafeInteger(step) || !isFileTable(files)) throw damaged('it has no step or no table of files');
  return { step: step as number, record: record as StoredRecord, files, tensors: tensors as TensorTable };
}

/**
 * Checks length and hash of one file of a checkpoint, streaming.
 * @throws DamagedCheckpointError if it is missing or differs
 */
export async function verifyFile(directory: string, name: CheckpointFile, expected: FileDigest): Promise<void> {
  await (await beginVerifying(directory, name, expected)).verified;
}

/** From this size on, in bytes, a file is hashed on another thread, which takes some 50 ms to start. */
const largeBytes = 32e6;

/**
 * Checks the length of one file of a checkpoint, and begins to check its hash.
 * @returns a promise of the rest: rejected as `verifyFile`, handled or not
 * @throws DamagedCheckpointError if it is missing or of another length
 */
export async function beginVerifying(
  directory: string,
  name: CheckpointFile,
  expected: FileDigest,
): Promise<{ verified: Promise<void> }> {
  const path = join(directory, name);
  refusePointerAt(path);
  try {
    const { size } = await stat(path);
    if (size !== expected.bytes) {
      const what = size < expected.bytes ? 'truncated' : 'too long';
      throw new DamagedCheckpointError(`${path} is ${what}: ${size} bytes instead of ${expected.bytes}. ${useAnother}`);
    }
  } catch (error) {
    throw missingOr(error, path);
  }
  const verify = async (): Promise<void> => {
    const sha256 = await (expected.bytes < largeBytes ? hashOfFile(path) : hashInThread(path)).catch((error) => {
      throw missingOr(error, path);
    });
    if (sha256 !== expected.sha256)
      throw new DamagedCheckpointError(`${path} is damaged: its SHA-256 is not the one in ${stateFile}. ${useAnother}`);
  };
  const verified = verify();
  verified.catch(() => {}); // reported where it is awaited
  return { verified };
}

async function hashOfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** Reads a small file of a checkpoint. */
export async function readCheckpointFile(path: string): Promise<Buffer> {
  try {
    return readBounded(path);
  } catch (error) {
    throw missingOr(error, path);
  }
}

/** Length and hash that a text will have on disk. */
export const digestOf = (text: string): FileDigest => ({ bytes: Buffer.byteLength(text), sha256: hashOf(text) });

const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex');

const serialise = (content: unknown): string => `${JSON.stringify(content, null, 2)}\n`;

function isFileTable(value: unknown): value is FileTable {
  const table = value as Partial<FileTable> | null | undefined;
  return checkpointFiles.every((name) => {
    const digest = table?.[name];
    return typeof digest?.bytes === 'number' && typeof digest.sha256 === 'string';
  });
}

function missingOr(error: unknown, path: string): unknown {
  const code = errorCode(error);
  if (code === 'ENOENT' || code === 'ENOTDIR') return new DamagedCheckpointError(`${path} is missing. ${useAnother}`);
  if (code === 'EISDIR') return new DamagedCheckpointError(`${path} is a folder, not a file. ${useAnother}`);
  return diskFailure(error, 'read', path);
}
