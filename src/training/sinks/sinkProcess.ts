/**
 * The process of moduleSink.ts: imports the user's module and hands it facts, one after the other. Whatever the module
 * does, it does to this process alone.
 */
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { Fact } from './facts.ts';

/** From the run: a fact, or that there are no more. */
export type ToSink = { fact: Fact } | 'end';

/** To the run: the module is loaded, or why it cannot be used; a fact was taken; something failed in the module. */
export type FromSink = 'loaded' | 'taken' | { refused: string } | { failure: string };

type Report = (fact: Fact) => unknown;
type SinkModule = Report | { report: Report; close?: () => unknown };

const [file = ''] = process.argv.slice(2);
const send = process.send!.bind(process);
const tell = (message: FromSink): void => void send(message, () => {});

// Signals to the whole group of processes are the run's business. It saves, and then closes the channel.
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGXCPU', 'SIGUSR1', 'SIGUSR2'] as const)
  process.on(name, () => {});
process.once('disconnect', () => process.kill(process.pid, 'SIGKILL'));
// A module that computes without end does not see that the run was killed; another thread does.
const { ppid } = process;
new Worker(`setInterval(() => { if (process.ppid !== ${ppid}) process.kill(process.pid, 'SIGKILL'); }, 1000);`, {
  eval: true,
}).unref();

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
const failed = (error: unknown): void => tell({ failure: textOf(error) });
process.on('uncaughtException', failed);
process.on('unhandledRejection', failed);

const sink = await load();
if (sink !== undefined) {
  tell('loaded');
  let last: Promise<unknown> = Promise.resolve();
  process.on('message', (message: ToSink) => {
    last =
      message === 'end'
        ? last
            .then(sink.close)
            .catch(failed)
            .then(() => process.kill(process.pid, 'SIGKILL'))
        : last
            .then(() => sink.report(message.fact))
            .catch(failed)
            .then(() => tell('taken'));
  });
}

/** The default export as an object; undefined if it cannot be used, which the run has then been told. */
async function load(): Promise<{ report: Report; close: () => unknown } | undefined> {
  try {
    const { default: given } = (await import(pathToFileURL(file).href)) as { default?: SinkModule };
    if (typeof given === 'function') return { report: given, close: () => undefined };
    if (typeof given?.report === 'function')
      return { report: (fact) => given.report(fact), close: () => given.close?.() };
    tell({ refused: 'its default export is neither a function nor an object with a function "report"' });
  } catch (error) {
    // The place of a syntax error is known to Node alone.
    tell({ refused: textOf(error) + (error instanceof SyntaxError ? ` ("node ${file}" says where)` : '') });
  }
  return undefined;
}
