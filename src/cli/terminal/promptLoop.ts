/**
 * `clm sample RUN -i`: a line to type prompts, with history; the completion streams in below. Ctrl-C stops the
 * completion, or at the prompt ends the program, like Ctrl-D.
 */
import { createInterface } from 'node:readline/promises';
import { ExpectedError } from '../../errors.ts';
import { openDecoding } from '../../sampling/decoding.ts';
import { generate } from '../../sampling/generate.ts';
import type { LoadedModel } from '../../sampling/loadModel.ts';
import { requestsOf } from '../../sampling/requests.ts';
import type { CompletionSettings } from '../../sampling/settings.ts';
import { takesEscapes } from './abilities.ts';
import { note, printError, printPart } from './output.ts';

export async function promptLoop(model: LoadedModel, settings: CompletionSettings): Promise<void> {
  const { config, tokenizer, session, table } = model;
  const decoding = openDecoding(session, config.model, table, 1);
  const options = { settings, tokenizer, contextLength: config.model.contextLength };
  const lines = createInterface({
    input: process.stdin,
    output: process.stderr,
    terminal: process.stdin.isTTY && takesEscapes(process.stderr),
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
  process.on('SIGINT', interrupt); // if stdin is not a terminal
  note(`${config.name}, step ${model.step}. Type a prompt; Ctrl-C stops a completion, Ctrl-D quits.`);
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
          printPart(prompt);
          for await (const event of events) printPart(event.kind === 'text' ? event.text : '\n');
        } catch (error) {
          if (!(error instanceof ExpectedError)) throw error;
          printError(error.message); // e.g. a prompt that cannot be encoded; go on with the next
        } finally {
          completing = undefined;
        }
      }
      if (!isClosed) lines.prompt(); // Ctrl-D may have come with the line; a prompt would listen again
    }
  } finally {
    process.off('SIGINT', interrupt);
    lines.close();
  }
}
