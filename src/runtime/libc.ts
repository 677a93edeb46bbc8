/** The functions of the C library that clm calls itself, through koffi. */
import { closeSync, fstatSync, openSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';

/** An opaque C pointer. */
export type Pointer = unknown;

/** A C function; koffi checks its arguments at the call, `async` runs it on another thread. */
export interface CFunction {
  (...args: unknown[]): unknown;
  async(...args: unknown[]): void;
}

/** Loaded when it is first needed: commands that refuse their input never load native code. */
export const koffi = (): typeof import('koffi')['default'] => createRequire(import.meta.url)('koffi');

const functions = new Map<string, CFunction>();

/** @param declaration in C, e.g. "int dup(int)" */
function libc(declaration: string): CFunction {
  const file = process.platform === 'darwin' ? 'libSystem.B.dylib' : 'libc.so.6';
  const known = functions.get(declaration) ?? koffi().load(file).func(declaration);
  functions.set(declaration, known);
  return known;
}

/**
 * Runs `body` with file descriptor 2 on /dev/null. By dup and dup2, so that what shares the descriptor's offset (a log
 * file that takes stdout too) is not disturbed.
 */
export function withQuietStderr<T>(body: () => T): T {
  const dup2 = libc('int dup2(int, int)');
  const kept = libc('int dup(int)')(2) as number;
  if (kept < 0) return body();
  const nowhere = openSync('/dev/null', 'a');
  dup2(nowhere, 2);
  closeSync(nowhere);
  try {
    return body();
  } finally {
    dup2(kept, 2);
    closeSync(kept);
  }
}

const F_DUPFD_CLOEXEC = process.platform === 'darwin' ? 67 : 1030;

/**
 * @returns a function that writes to what descriptor 2 is now, at once, whatever `withQuietStderr` does meanwhile; what
 *   nobody can read any more is lost without an error
 */
export function openStderr(): (text: string) => void {
  const descriptor = libc('int fcntl(int, int, ...)')(2, F_DUPFD_CLOEXEC, 'int', 3) as number;
  return (text) => {
    for (let tries = 0; tries < 50; tries++) {
      try {
        return void writeSync(descriptor, text);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return; // a terminal or a reader that has gone
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20); // the pipe is full
      }
    }
  };
}

/** Returns free memory to the system, also what lies between blocks in use, which the C library would keep. */
export function returnFreeMemory(): void {
  if (process.platform === 'linux') libc('int malloc_trim(size_t)')(0);
}

/**
 * Copies between C memory and the memory of a typed array. A view of C memory as an ArrayBuffer would take longer than
 * the copy of a few numbers, and leaves work to the garbage collector.
 */
export const copyMemory = (to: Pointer, from: Pointer, bytes: number): void =>
  void libc('void memcpy(void*, const void*, size_t)')(to, from, bytes);

const pageBytes = 4096n;
const MADV_HUGEPAGE = 14;

/**
 * Lets Linux back memory by pages of 2 MB, before anything is written there: weights are read from end to end for every
 * token, which is faster with fewer pages to look up. Only a hint; nothing is lost if it is refused.
 */
export function askForHugePages(data: Pointer, bytes: number): void {
  if (process.platform !== 'linux') return;
  const start = koffi().address(data);
  const firstPage = ((start + pageBytes - 1n) / pageBytes) * pageBytes;
  const length = Number(((start + BigInt(bytes) - firstPage) / pageBytes) * pageBytes);
  libc('int madvise(uintptr_t, size_t, int)')(firstPage, length, MADV_HUGEPAGE);
}

/** A file in memory that has not been read: its pages are the system's, and come from the disk when first used. */
export interface MappedFile {
  /** `count` numbers from this byte on. Writing to them changes nothing but this process's copy of the page. */
  floats(startByte: number, count: number): Float32Array;
  /** After this nothing may use the numbers. */
  close(): void;
}

const PROT_READ_WRITE = 3;
const MAP_PRIVATE = 2;

/** @throws as `openSync`; if the system cannot map the file */
export function mapFile(file: string): MappedFile {
  const descriptor = openSync(file, 'r');
  try {
    const { size } = fstatSync(descriptor);
    const map = libc('intptr_t mmap(intptr_t, size_t, int, int, int, int64_t)');
    const start = BigInt(map(0, size, PROT_READ_WRITE, MAP_PRIVATE, descriptor, 0) as number | bigint);
    if (start === -1n) throw new Error(`${file} cannot be mapped into memory (${size} bytes)`);
    return {
      floats: (startByte, count) => new Float32Array(koffi().view(start + BigInt(startByte), 4 * count)),
      close: () => void libc('int munmap(intptr_t, size_t)')(start, size),
    };
  } finally {
    closeSync(descriptor);
  }
}

/** Ends the process at once, whatever its threads do: `process.exit` waits for calls into TensorFlow to return. */
export const endProcess = (code: number): void => void libc('void _exit(int)')(code);

const PR_SET_PDEATHSIG = 1;
const SIGCONT = 18;

/** Wakes this process, if it is stopped, once the one that started it has ended: it can then end too. */
export function wakeWithoutParent(): void {
  if (process.platform === 'linux') libc('int prctl(int, unsigned long, ...)')(PR_SET_PDEATHSIG, SIGCONT);
}

/** Bytes of a set of up to 1024 cores. */
const coreSetBytes = 128;

/** The numbers of the cores that this thread may run on; undefined where the system does not say. */
export function allowedCores(): number[] | undefined {
  if (process.platform !== 'linux') return undefined;
  const set = Buffer.alloc(coreSetBytes);
  if ((libc('int sched_getaffinity(int, size_t, void*)')(0, coreSetBytes, set) as number) < 0) return undefined;
  return Array.from({ length: 8 * coreSetBytes }, (_, core) => core).filter(
    (core) => set[core >> 3]! & (1 << (core & 7)),
  );
}

/** Keeps this thread, and those that it starts from now on, to some cores: so it also counts only these. */
export function useCores(cores: readonly number[]): void {
  const set = Buffer.alloc(coreSetBytes);
  for (const core of cores) set[core >> 3]! |= 1 << (core & 7);
  libc('int sched_setaffinity(int, size_t, const void*)')(0, coreSetBytes, set);
}

/** A function that counts the bytes that this process has sent and received; see native/listening.h. */
export const networkBytesOf = (kernelsPath: string): (() => number) =>
  koffi().load(kernelsPath).func('int64_t ClmNetworkBytes()') as () => number;
