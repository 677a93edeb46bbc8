import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { root } from './clm.ts';

let folder: string;
/** Prints whether SIGHUP was ignored when it was started. */
let ask: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'clm-surroundings-'));
  ask = path.join(folder, 'ask.mjs');
  const source = path.join(root, 'dist/cli/surroundings.js');
  writeFileSync(
    ask,
    `#!${process.execPath}\nimport { isHangupIgnored } from '${source}';\nconsole.log(isHangupIgnored());\n`,
  );
  chmodSync(ask, 0o755);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What the last program of a bash command prints; ASK stands for it. */
async function answer(command: string, start: readonly string[]): Promise<string> {
  const text = command.replaceAll('ASK', ask);
  const [file, ...args] = [...start, text];
  const { stdout } = await promisify(execFile)(file!, args, { cwd: folder });
  return stdout.trim();
}
const inPipes = (command: string): Promise<string> => answer(`${command} < /dev/null`, ['bash', '-c']);
const atTerminal = async (command: string): Promise<string> => {
  const printed = await answer(command, [
    'python3',
    path.join(root, 'test/cli/terminal.py'),
    '[]',
    'null',
    'bash',
    '-c',
  ]);
  return (JSON.parse(printed) as { output: string }).output.trim();
};

describe.skipIf(process.platform !== 'linux')('whether SIGHUP was ignored', () => {
  it.each([
    ['nohup ASK 2> /dev/null', 'by its name in the environment'],
    ['nohup nice env A=1 ASK 2> /dev/null', 'also through other programs'],
    ['nohup timeout 9 ASK 2> /dev/null', 'also if one of them handles SIGHUP'],
    [`nohup bash -c 'ASK; true' 2> /dev/null`, 'by a script that ignores it'],
    [
      `bash -c "trap '' HUP; node -e \\"child_process.execFileSync('ASK', {stdio: 'inherit'})\\"; true"`,
      'through Node',
    ],
  ])('%s: yes, %s', async (command) => expect(await inPipes(command)).toBe('true'));

  it.each([
    ['env -u _ nohup ASK 2> /dev/null | cat', 'by an input that cannot be read'],
    [`nohup sh -c 'ASK; true' 2> /dev/null | cat`, 'by its name in the environment'],
  ])('%s at a terminal: yes, %s', async (command) => expect(await atTerminal(command)).toBe('true'));

  it.each(['ASK', 'setsid ASK', 'timeout 9 ASK'])('%s: no', async (command) =>
    expect(await inPipes(command)).toBe('false'),
  );

  it.each(['ASK | cat', "_=/usr/bin/nohup dash -c 'ASK; true' | cat"])('%s at a terminal: no', async (command) =>
    expect(await atTerminal(command)).toBe('false'),
  );
});
