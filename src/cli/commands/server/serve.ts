/** `clm serve`: a model behind OpenAI's HTTP interface, until a signal asks to stop. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { wrongInput } from '../../../errors.ts';
import { loadModel } from '../../../sampling/loadModel.ts';
import { completeSettings, defaultSettings } from '../../../sampling/settings.ts';
import { isLoopback } from '../../../server/access.ts';
import type { RequestFact, RunningServer } from '../../../server/httpServer.ts';
import { serve as startServing, type ServerMemory } from '../../../server/serve.ts';
import { readBounded } from '../../../storage/boundedFile.ts';
import { bytesText } from '../../../units.ts';
import { assertWhole } from '../../options.ts';
import { stopSignals } from '../../stopSignals.ts';
import { unreadable } from '../../textInput.ts';
import { note, printError, printJson, printWarning } from '../../terminal/output.ts';
import type { ArgumentsOf } from '../../usage.ts';
import { askedSettings, optionName } from '../model/settingsArguments.ts';
import { parseDuration } from '../../../duration.ts';
import type { serveUsage } from './usage.ts';

type ServeArguments = ArgumentsOf<typeof serveUsage>;

export async function serve(args: ServeArguments): Promise<void> {
  const access = accessOf(args);
  assertWhole('batch', args.batch, 1);
  assertWhole('queue', args.queue, 0);
  assertWhole('port', args.port, 0);
  if (args.port > 65_535) throw wrongInput('--port must be at most 65535');
  const requestTimeoutMs = parseDuration(args.requestTimeout, '--request-timeout');
  const graceMs = parseDuration(args.stopTimeout, '--stop-timeout');
  const { checkpoint, device, weights } = args;
  const model = await loadModel(args.run, { checkpoint, device, precision: 'float32', weights });
  try {
    const { config, tokenizer, directory } = model;
    const defaults = completeSettings(defaultSettings(config), askedSettings(args), tokenizer, optionName);
    const contextLength = contextLengthOf(args, config.model.contextLength);
    const name = args.modelName ?? config.name;
    const created = await stat(path.join(directory, 'state.json'));
    const server = await startServing(model, {
      ...{ name, createdSeconds: Math.floor(created.mtimeMs / 1000), defaults, contextLength, ...access },
      ...{ port: args.port, batch: args.batch, queue: args.queue, requestTimeoutMs },
      report: (fact) => printRequest(fact, args),
    });
    const stops = stopSignals({
      doing: () => 'finishing the requests under way',
      again: 'ends at once',
      isQuiet: args.quiet,
    });
    stops.signal.addEventListener('abort', () => stopInOrder(server, graceMs));
    announce(server, { name, contextLength }, args);
    await server.ended;
    process.exitCode = 0; // asked to stop, it has
  } finally {
    model.close();
  }
}

/** One event may send several signals; one that arrives later, of either kind, is meant, and ends what is under way. */
function stopInOrder(server: RunningServer, graceMs: number): void {
  server.stop(graceMs);
  setTimeout(() => {
    for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => server.stop(0));
  }, 1000).unref();
}

function accessOf({ host, apiKeyFile, insecure, cors = [] }: ServeArguments) {
  const apiKeys = apiKeyFile === undefined ? null : keysOf(apiKeyFile);
  if (apiKeys === null && !insecure && !isLoopback(host))
    throw wrongInput(
      `--host ${host} serves other machines: give --api-key-file, so that clients need a key, or --insecure`,
    );
  const wrong = cors.find((origin) => origin !== '*' && !/^[a-z][a-z0-9+.-]*:\/\/[^/]+$/.test(origin));
  if (wrong !== undefined)
    throw wrongInput(`--cors is "${wrong}"; it must be an origin without a path, such as http://localhost:3000, or *`);
  return { host, apiKeys, origins: cors };
}

function keysOf(file: string): string[] {
  let text: string;
  try {
    text = readBounded(file, 1 << 20).toString('utf8');
  } catch (error) {
    throw unreadable(file, error);
  }
  const keys = text.split(/\r?\n/).map((line) => line.trim());
  const given = keys.filter((key) => key !== '');
  if (given.length === 0) throw wrongInput(`${file} has no API key; write one on a line of its own`);
  const wrong = given.findIndex((key) => !/^[\x21-\x7e]+$/.test(key));
  if (wrong >= 0) throw wrongInput(`${file}: key ${wrong + 1} has a space or a character that is not ASCII`);
  return given;
}

function contextLengthOf({ contextLength }: ServeArguments, own: number): number {
  if (contextLength === undefined) return own;
  assertWhole('context-length', contextLength, 1);
  if (contextLength > own) throw wrongInput(`--context-length is ${contextLength}; the model has ${own}`);
  return contextLength;
}

function announce(
  { url, memory }: RunningServer & { memory: ServerMemory },
  { name, contextLength }: { name: string; contextLength: number },
  { json, quiet, batch, queue, insecure, apiKeyFile, host }: ServeArguments,
): void {
  if (json) printJson({ kind: 'listening', url, model: name, contextLength, batch, queue, ...memory });
  if (quiet) return;
  if (insecure && apiKeyFile === undefined && !isLoopback(host))
    printWarning('other machines can use the model without an API key (--insecure)');
  if (json) return;
  note(`serving ${name} at ${url}/v1`);
  note(
    `${batch} completions at once, ${queue} waiting; memory beside the weights: at most ` +
      `${bytesText(memory.cacheBytes)} of cache (${batch} × ${contextLength} tokens), ` +
      `${bytesText(memory.requestBytes)} of requests`,
  );
}

function printRequest(fact: RequestFact, { json, quiet }: ServeArguments): void {
  const { method, path, status, ms, usage, message, bug } = fact;
  if (bug !== undefined) printError(`This is a bug in clm: ${bug instanceof Error ? bug.stack : String(bug)}`);
  if (json) {
    const tokens = usage && { promptTokens: usage.prompt, tokens: usage.completion };
    printJson({ kind: 'request', method, path, status, elapsedMs: Math.round(ms), ...tokens, error: message });
    return;
  }
  if (quiet) return;
  const tokens = usage === undefined ? '' : `  ${usage.prompt} + ${usage.completion} tokens`;
  const why = message === undefined ? '' : `  ${message}`;
  note(`${method} ${path.slice(0, 200)} ${status}  ${Math.round(ms)} ms${tokens}${why}`);
}
