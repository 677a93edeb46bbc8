/**
 * Runs the built program at a pseudo-terminal, as a user would (see terminal.py, which needs Python as the set-up
 * does).
 */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { root } from './clm.ts';

/**
 * Once this (a regular expression, or a number of bytes) has come out, and these seconds later, these keys are typed;
 * null takes the terminal away.
 */
export type TerminalStep = [what: string | number, keys: string | null, seconds?: number];

export const [ctrlC, ctrlD, ctrlU, up] = ['\u0003', '\u0004', '\u0015', '\u001b[A'];
export const [ctrlZ, ctrlBackslash] = ['\u001a', '\u001c'];

/** What stands around the program. */
export interface Surroundings {
  /** Columns and rows of the terminal, which then has a shell with job control (see terminal.py). */
  size?: [columns: number, rows: number];
  env?: Readonly<Record<string, string>>;
}

export async function clmAtTerminal(
  args: string[],
  steps: TerminalStep[] = [],
  { size, env }: Surroundings = {},
): Promise<{ output: string; code: number }> {
  const program = [process.execPath, path.join(root, 'dist/cli/main.js'), ...args];
  const command = [path.join(root, 'test/cli/terminal.py'), JSON.stringify(steps), JSON.stringify(size ?? null)];
  const plain = { ...process.env, TERM: 'xterm-256color', CI: '', NO_COLOR: '', ...env };
  const { stdout } = await promisify(execFile)('python3', [...command, ...program], { cwd: root, env: plain });
  return JSON.parse(stdout) as { output: string; code: number };
}
