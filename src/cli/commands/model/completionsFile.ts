/**
 * The file of `clm sample --output`: one JSON line per completion, appended as soon as it is complete. When the command
 * is repeated after a stop, completions already in the file are skipped.
 */
import {
  closeSync,
  createReadStream,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { diskFailure } from '../../../storage/diskFailure.ts';
import { isDevice, makeFolder } from '../../../storage/durable.ts';
import { linkTarget } from '../../../storage/outputFile.ts';
import { wrongInput } from '../../../errors.ts';
import { parseObject } from './promptsFile.ts';

export interface CompletionsFile {
  /** Number of completions in the file when it was opened. */
  readonly found: number;
  /** Whether the file has completion `index`. @throws wrong input if that one was made for another request */
  has(index: number, fingerprint: string): boolean;
  /** Appends a line; the operating system has it on return. @throws environment failure if the disk refuses */
  append(value: unknown): void;
  /** @param hasFailed then a file that was made for nothing is removed */
  close(hasFailed: boolean): void;
}

/** Opens or creates the file and its folder. An incomplete last line, left by a kill, is cut off. */
export async function openCompletionsFile(path: string): Promise<CompletionsFile> {
  await makeFolder(dirname(path));
  const made = new Map<number, string>();
  const isKept = !isDevice(path);
  const isNew = isKept && !existsSync(path);
  const wholeBytes = isKept && !isNew ? await readMade(path, made) : 0;
  const guarded = <T>(action: () => T): T => {
    try {
      return action();
    } catch (error) {
      throw diskFailure(error, 'write', path);
    }
  };
  const file = guarded(() => openSync(path, 'a'));
  if (isKept) guarded(() => ftruncateSync(file, wholeBytes));
  return {
    found: made.size,
    has: (index, fingerprint) => {
      const found = made.get(index);
      if (found === undefined) return false;
      if (found !== fingerprint) {
        const problem = `completion ${index} was made with another prompt, seed, setting or model`;
        throw wrongInput(`${path}: ${problem}. Choose another --output, or move the file away.`);
      }
      return true;
    },
    append: (value) =>
      guarded(() => {
        const line = Buffer.from(`${JSON.stringify(value)}\n`);
        for (let done = 0; done < line.length; ) done += writeSync(file, line, done);
      }),
    close: (hasFailed) =>
      guarded(() => {
        try {
          if (isKept) fsyncSync(file);
          if (hasFailed && isNew && fstatSync(file).size === 0) rmSync(linkTarget(path), { force: true });
        } finally {
          closeSync(file);
        }
      }),
  };
}

/** Reads the complete lines. @returns their length in bytes */
async function readMade(path: string, made: Map<number, string>): Promise<number> {
  let wholeBytes = 0;
  let number = 0;
  let carried: Buffer = Buffer.alloc(0);
  try {
    for await (const chunk of createReadStream(path)) {
      carried = Buffer.concat([carried, chunk as Buffer]);
      for (let end = carried.indexOf(0x0a); end >= 0; end = carried.indexOf(0x0a)) {
        const { index, fingerprint } = parseObject(carried.toString('utf8', 0, end), `${path}:${++number}: `);
        if (typeof index !== 'number' || typeof fingerprint !== 'string') {
          throw wrongInput(`${path}:${number}: this is not a line of clm sample --output. Choose another file.`);
        }
        made.set(index, fingerprint);
        wholeBytes += end + 1;
        carried = carried.subarray(end + 1);
      }
    }
  } catch (error) {
    throw (error as NodeJS.ErrnoException).syscall === undefined ? error : diskFailure(error, 'read', path);
  }
  return wholeBytes;
}
