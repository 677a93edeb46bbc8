/**
 * A file that is appended to while a run goes on. Guarantee: an appended piece survives a crash of the process, because
 * it is handed to the operating system at once (microseconds); after `flush` it survives a crash of the machine.
 */
import { closeSync, constants, fstatSync, fsyncSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { ExpectedError } from '../errors.ts';
import { diskFailure } from './diskFailure.ts';

/** Maximum size of the pieces that wait in memory while the disk refuses them; beyond it appending fails. */
const longestBacklogBytes = 16 << 20;

export interface AppendedFile {
  /**
   * Appends a piece. If the disk refuses it, it is kept in memory and written, in order, before the next piece.
   * Throws environmentFailure if too much is waiting.
   */
  append(piece: string | Uint8Array): void;
  /**
   * Forces everything appended to the disk (fsync). If the file was deleted meanwhile, a new one is created, with a
   * warning. Throws environmentFailure if the disk refuses.
   */
  flush(): void;
  /** Flushes and closes; further calls do nothing. */
  close(): void;
}

/**
 * Opens the file for appending, creating it if necessary; a symbolic link in its place is refused.
 * @param warn called once when the disk begins to refuse
 * @throws environmentFailure if the disk refuses
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
        if (!hadBacklog) warn(`${error.message} Until then records are kept in memory.`);
      }
    },
    flush: () =>
      guarded(() => {
        if (fstatSync(file).nlink === 0) {
          mkdirSync(dirname(path), { recursive: true });
          const deleted = file;
          file = openAtEnd();
          closeSync(deleted);
          warn(
            `${path} was deleted while it was being written. Its contents are lost; a new file continues from here.`,
          );
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
