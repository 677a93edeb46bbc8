/**
 * Hands facts to a module of the user's, in a process of its own, so that it cannot hurt the run: it may throw, hang,
 * print, exit or crash. Training never waits for it; facts that it is too slow for wait here, up to a limit.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { statSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { wrongInput } from '../../errors.ts';
import type { Fact, Report } from './facts.ts';
import type { FromSink, ToSink } from './sinkProcess.ts';

export interface ModuleSink {
  report: Report;
  /** Waits until the module has ended, or ends it; then says what it failed to do, with counts. */
  close(): Promise<void>;
}

interface Listeners {
  /** Told of failures of the module. */
  warn: (message: string) => void;
  /** Told of each line that the module prints. */
  print: (line: string) => void;
}

interface Limits {
  /** Facts that wait for the module at most; then the oldest are dropped. */
  waiting: number;
  loadingMs: number;
  /** Time that the module has to take the facts that wait, and to end, after the last fact. */
  endingMs: number;
}

const usualLimits: Limits = { waiting: 10_000, loadingMs: 30_000, endingMs: 10_000 };

/** Facts on their way to the module at most. */
const mostSent = 100;

/**
 * Starts the process of a module and waits until the module is loaded.
 *
 * @param file the path of the module, relative to the working directory
 * @throws wrongInput if it is missing, cannot be loaded in time, or does not export what it has to
 */
export async function openModuleSink(
  file: string,
  { warn, print }: Listeners,
  { waiting: mostWaiting, loadingMs, endingMs }: Limits = usualLimits,
): Promise<ModuleSink> {
  if (!statSync(file, { throwIfNoEntry: false })?.isFile()) throw wrongInput(`--log ${file}: there is no such file.`);
  const say = (what: string): void => warn(`--log ${file}: ${what}`);
  const child = startProcess(file);
  for (const input of [child.stdout!, child.stderr!])
    createInterface({ input }).on('line', (line) => print(`${file}: ${line}`));
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));

  const waiting: Fact[] = [];
  let [given, taken, sent, dropped, failures] = [0, 0, 0, 0, 0];
  let isLoaded = false;
  let isGone = false;
  let isEnding = false;
  const send = (message: ToSink): void => void child.send(message, () => {}); // the exit tells of a failure
  const sendNext = (): void => {
    if (isGone) return;
    for (; sent < mostSent && waiting.length > 0; sent++) send({ fact: waiting.shift()! });
    if (isEnding && sent === 0) send('end');
  };
  const loading = new Promise<string | undefined>((resolve) => {
    child.on('message', (message: FromSink) => {
      if (message === 'loaded') return resolve(undefined);
      if (message === 'taken') {
        [sent, taken] = [sent - 1, taken + 1];
        return sendNext();
      }
      if ('refused' in message) return resolve(message.refused);
      if (++failures === 1) say(`it failed: ${message.failure}. Training goes on`);
    });
    child.once('exit', (code, signal) => {
      isGone = true;
      resolve('its process ended while it was being loaded');
      const how = code === null ? `by ${signal}` : `with exit code ${code}`;
      const isExpected = isEnding && signal === 'SIGKILL'; // it ends itself so
      if (isLoaded && !isExpected) say(`its process has ended (${how}), so it gets no more facts`);
    });
    child.once('error', ({ message }) => resolve(message));
    setTimeout(() => resolve(`it was not loaded after ${loadingMs / 1000} s`), loadingMs).unref();
  });
  const refusal = await loading;
  isLoaded = refusal === undefined;
  if (refusal !== undefined) {
    endProcess(child);
    await closed;
    throw wrongInput(`--log ${file}: the module cannot be used: ${refusal}.`);
  }
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    isEnding = true;
    sendNext();
    const timer = setTimeout(() => {
      say(`it has not ended ${endingMs / 1000} s after the run, and is ended`);
      endProcess(child);
    }, endingMs);
    await closed;
    clearTimeout(timer);
    if (taken < given) say(`it got ${taken} of ${given} facts`);
    if (failures > 1) say(`it failed ${failures} times`);
  };
  return {
    report: (fact) => {
      given++;
      if (isGone) return;
      if (waiting.length === mostWaiting) {
        waiting.shift();
        if (++dropped === 1) say('it is slower than training: of the facts that wait, the oldest are dropped');
      }
      waiting.push(fact);
      sendNext();
    },
    close: () => (closing ??= close()),
  };
}

function startProcess(file: string): ChildProcess {
  const folder = import.meta.url.endsWith('.ts') ? '../../../dist/training/sinks/' : './';
  const program = fileURLToPath(new URL(`${folder}sinkProcess.js`, import.meta.url));
  // Detached, or the terminal would send it the Ctrl-C that stops the run.
  return fork(program, [path.resolve(file)], {
    execArgv: [],
    serialization: 'advanced', // keeps NaN
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
}

/** Ends the process and those that the module has started, which may hold its pipes open. */
function endProcess({ pid, stdout, stderr }: ChildProcess): void {
  try {
    process.kill(-pid!, 'SIGKILL');
  } catch {
    // it is gone
  }
  stdout?.destroy();
  stderr?.destroy();
}
