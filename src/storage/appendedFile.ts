/**
 * A file that grows as things happen. Each piece goes to the operating system at once, which costs microseconds and
 * survives the death of the process; `flush` makes it survive that of the machine.
 */
import { closeSync, constants, fstatSync, fsyncSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { ExpectedError } from '../errors.ts';
import { diskFailure } from './diskFailure.ts';

/** What waits for a disk that refuses it, in bytes; beyond it appending fails. */
const longestBacklogBytes = 16 << 20;

export interface AppendedFile {
  /**
   * Appends a piece; it is with the operating system on return. What the disk refuses is kept and written, in its
   * place, with the next piece. Throws environmentFailure when too much has gathered.
   */
  append(piece: string | Uint8Array): void;
  /**
   * Forces everything appended to the disk. A file that was deleted meanwhile is begun anew, and the warning says so.
   * Throws environmentFailure when the disk refuses.
   */
  flush(): void;
  /** Flushes and closes; further calls do nothing. */
  close(): void;
}

/**
 * Opens the file for appending, making it if need be; a symbolic link in its place is refused.
 * @param warn is told once when the disk begins to refuse
 * @throws environmentFailure when the disk refuses
 */
export function openAppended(path: string, warn: (message: string) => void = () => {}): AppendedFile {
  const guarded = <Result>(action: () => Result): Result => {
    try {
      return action();
    } catch (error) {
      throw diskFailure(error, 'write', path);
    }
  };
  const { O_APPEND, O_CREAT, O_NOFOLLOW, O_WRONLY } = constants;
  const openAtEnd = (): number => openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0o666);
  let file = guarded(openAtEnd);
  let isOpen = true;
  let backlog = Buffer.alloc(0);
  const write = (): void => {
    while (backlog.length > 0) backlog = backlog.subarray(writeSync(file, backlog));
  };
  return {
    append: (piece) => {
      const hadBacklog = backlog.length > 0;
      backlog = Buffer.concat([backlog, typeof piece === 'string' ? Buffer.from(piece) : piece]);
      try {
        guarded(write);
      } catch (error) {
        if (!(error instanceof ExpectedError) || backlog.length > longestBacklogBytes) throw error;
        if (!hadBacklog) warn(`${error.message} Records wait for it.`);
      }
    },
    flush: () =>
      guarded(() => {
        if (fstatSync(file).nlink === 0) {
          mkdirSync(dirname(path), { recursive: true });
          const deleted = file;
          file = openAtEnd();
          closeSync(deleted);
          warn(`${path} was deleted while it was being written, and what it said is lost. It goes on from here.`);
        }
        write();
        fsyncSync(file);
      }),
    close: () => {
      if (!isOpen) return;
      isOpen = false;
      guarded(() => {
        try {
          write();
          fsyncSync(file);
        } finally {
          closeSync(file);
        }
      });
    },
  };
}
