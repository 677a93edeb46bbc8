// What a process does to the files of one folder, recorded below Node by strace: every call that makes, writes,
// flushes, renames or deletes, in the order in which the kernel ended them.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const traced = [
  ...[
    'openat',
    'open',
    'creat',
    'write',
    'pwrite64',
    'writev',
    'pwritev',
    'ftruncate',
    'fallocate',
    'fsync',
    'fdatasync',
    'close',
    'dup',
    'dup2',
    'dup3',
  ],
  ...[
    'rename',
    'renameat',
    'renameat2',
    'unlink',
    'unlinkat',
    'rmdir',
    'mkdir',
    'mkdirat',
    'link',
    'linkat',
    'symlink',
    'symlinkat',
    'sendfile',
    'copy_file_range',
  ],
];

/** Whether strace is there and may trace. @returns {string | undefined} why it cannot be used */
export function straceMissing() {
  const { error, status, stderr } = spawnSync(
    'strace',
    ['-f', '--seccomp-bpf', '-e', 'trace=write', '-o', '/dev/null', 'true'],
    { encoding: 'utf8' },
  );
  if (error !== undefined) return 'strace is not installed (Debian, Ubuntu: apt-get install strace)';
  return status === 0 ? undefined : `strace cannot trace here: ${stderr.trim()}`;
}

/**
 * @typedef {{ call: 'make', path: string, isFolder: boolean } | { call: 'cut', path: string, length: number } | { call:
 *   'write', file: number, offset: number | null, bytes: Buffer } | { call: 'flush', file: number } | { call: 'open',
 *   file: number, path: string, isMade: boolean, appends: boolean } | { call: 'close', file: number } | { call:
 *   'rename', from: string, to: string } | { call: 'link', from: string, to: string } | { call: 'delete', path: string
 *   }} FileCall
 */

/**
 * Runs `node ARGS` under strace. @param {string[]} args @param {string} folder absolute @param {string} record where
 * strace writes
 */
export function recordFileCalls(args, folder, record) {
  const strace = [
    '-f',
    '--seccomp-bpf',
    '-xx',
    '-s',
    '100000000',
    '-e',
    `trace=${traced.join(',')}`,
    '-o',
    record,
    process.execPath,
    ...args,
  ];
  // Through io_uring, calls would pass strace by.
  const { status, stderr } = spawnSync('strace', strace, {
    encoding: 'utf8',
    env: { ...process.env, UV_USE_IO_URING: '0' },
    maxBuffer: 1 << 26,
  });
  if (status !== 0) throw new Error(`${args.join(' ')} ended with ${status}: ${stderr}`);
  return fileCalls(readFileSync(record, 'latin1'), folder);
}

/** @param {string} record what strace wrote @param {string} folder @returns {FileCall[]} */
function fileCalls(record, folder) {
  /** @type {FileCall[]} */
  const calls = [];
  /** File descriptors of files in the folder. @type {Set<number>} */
  const files = new Set();
  const isInside = (/** @type {string} */ path) => path === folder || path.startsWith(`${folder}/`);
  for (const { name, args, result } of finishedCalls(record)) {
    if (result < 0) continue;
    const strings = [...args.matchAll(/"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?/g)].map(([, hex, cut]) => {
      if (cut !== undefined) throw new Error('strace cut a string short');
      return Buffer.from(hex.replaceAll('\\x', ''), 'hex');
    });
    const paths = strings.map((bytes) => bytes.toString());
    const file = Number.parseInt(args, 10);
    const numbers = args.split(', ').map(Number);
    if (['openat', 'open', 'creat'].includes(name)) {
      files.delete(result);
      if (!isInside(paths[0])) continue;
      files.add(result);
      const isMade = name === 'creat' || args.includes('O_CREAT');
      calls.push({ call: 'open', file: result, path: paths[0], isMade, appends: args.includes('O_APPEND') });
      if (args.includes('O_TRUNC')) calls.push({ call: 'cut', path: paths[0], length: 0 });
    } else if (name === 'close') {
      if (files.delete(file)) calls.push({ call: 'close', file });
    } else if (['write', 'writev', 'pwrite64', 'pwritev'].includes(name)) {
      const offset = name.startsWith('p') ? /** @type {number} */ (numbers.at(-1)) : null;
      if (files.has(file))
        calls.push({ call: 'write', file, offset, bytes: Buffer.concat(strings).subarray(0, result) });
    } else if (['fsync', 'fdatasync'].includes(name)) {
      if (files.has(file)) calls.push({ call: 'flush', file });
    } else if (['mkdir', 'mkdirat'].includes(name)) {
      if (isInside(paths[0])) calls.push({ call: 'make', path: paths[0], isFolder: true });
    } else if (['unlink', 'unlinkat', 'rmdir'].includes(name)) {
      if (isInside(paths[0])) calls.push({ call: 'delete', path: paths[0] });
    } else if (/^(rename|link)/.test(name)) {
      if (isInside(paths[0]) !== isInside(paths[1]))
        throw new Error(`a move across the border of the folder: ${paths}`);
      if (isInside(paths[0]))
        calls.push({ call: name.startsWith('rename') ? 'rename' : 'link', from: paths[0], to: paths[1] });
    } else if (files.has(file) || paths.some(isInside)) {
      throw new Error(`a call that the replay does not know: ${name}(${args.slice(0, 200)})`);
    }
  }
  return calls;
}

/** Calls that overlap are written in two parts; what counts is when they end. @param {string} record */
function* finishedCalls(record) {
  /** @type {Map<string, string>} */
  const begun = new Map();
  for (const line of record.split('\n')) {
    const match = /^(\d+) +(.*)$/.exec(line);
    if (match === null) continue;
    const [, thread, said] = match;
    if (said.endsWith(' <unfinished ...>')) {
      begun.set(thread, said.slice(0, -' <unfinished ...>'.length));
      continue;
    }
    const rest = /^<\.\.\. \w+ resumed>(.*)$/.exec(said);
    const whole = rest === null ? said : `${begun.get(thread)}${rest[1]}`;
    const call = /^(\w+)\((.*)\) += (-?\d+)/.exec(whole);
    if (call !== null) yield { name: call[1], args: call[2], result: Number(call[3]) };
  }
}
