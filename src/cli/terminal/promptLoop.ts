/**
 * `clm sample RUN -i`: a line to type prompts at, with history; the completion streams in below it. Ctrl-C stops the
 * completion; at the empty line it ends the program, as Ctrl-D does.
 */
import { createInterface } from 'node:readline/promises';
import { ExpectedError } from '../../errors.ts';
import { openDecoding } from '../../sampling/decoding.ts';
import { generate } from '../../sampling/generate.ts';
import type { LoadedModel } from '../../sampling/loadModel.ts';
import { requestsOf } from '../../sampling/requests.ts';
import type { CompletionSettings } from '../../sampling/settings.ts';
import { harmless, note, printError } from './output.ts';

export async function promptLoop(model: LoadedModel, settings: CompletionSettings): Promise<void> {
  const { config, tokenizer, session, table } = model;
  const decoding = openDecoding(session, config.model, table, 1);
  const options = { settings, tokenizer, contextLength: config.model.contextLength };
  const lines = createInterface({
    input: process.stdin,
    output: process.stderr,
    terminal: process.stdin.isTTY,
    historySize: 1000,
  });
  let completing: AbortController | undefined;
  let isClosed = false;
  lines.once('close', () => (isClosed = true));
  const interrupt = (): void => {
    if (completing === undefined) lines.close();
    else completing.abort();
  };
  lines.on('SIGINT', interrupt);
  process.on('SIGINT', interrupt); // where stdin is no terminal
  note(`step ${model.step} of ${config.name}; type a prompt. Ctrl-C stops a completion, Ctrl-D ends.`);
  lines.setPrompt('> ');
  lines.prompt();
  try {
    for await (const prompt of lines) {
      if (prompt !== '') {
        completing = new AbortController();
        try {
          const events = generate(decoding, tokenizer, requestsOf({ prompt }, options), {
            order: 'input',
            signal: completing.signal,
          });
          process.stdout.write(harmless(prompt));
          for await (const event of events) process.stdout.write(event.kind === 'text' ? harmless(event.text) : '\n');
        } catch (error) {
          if (!(error instanceof ExpectedError)) throw error;
          printError(error.message); // a prompt that cannot be encoded: the next one may
        } finally {
          completing = undefined;
        }
      }
      if (!isClosed) lines.prompt(); // else it would listen again: Ctrl-D may have come with the line
    }
  } finally {
    process.off('SIGINT', interrupt);
    lines.close();
  }
}
