/** Runs the built program as a process, as a user would. */
import { spawn, type ChildProcess } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const program = path.join(root, 'dist/cli/main.js');

export interface Result {
  code: number | null;
  stdout: string;
  stderr: string;
}

/**
 * @param watch is called with everything on stderr so far, and may send signals
 * @param started is handed the process
 * @param directory to work in; the clone if left out
 */
export function clm(
  args: string[],
  watch?: (stderr: string, child: ChildProcess) => void,
  started?: (child: ChildProcess) => void,
  directory: string = root,
): Promise<Result> {
  const child = spawn(process.execPath, [program, ...args], { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] });
  started?.(child);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
    watch?.(stderr, child);
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, stdout, stderr })));
}
