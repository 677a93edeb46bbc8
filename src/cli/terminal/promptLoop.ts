/** `clm sample RUN -i`: type prompts; each completion streams in below. */
import { openDecoding } from '../../sampling/decoding.ts';
import { generate } from '../../sampling/generate.ts';
import type { LoadedModel } from '../../sampling/loadModel.ts';
import { requestsOf } from '../../sampling/requests.ts';
import type { CompletionSettings } from '../../sampling/settings.ts';
import { lineLoop } from './lineLoop.ts';
import { printPart } from './output.ts';

export async function promptLoop(model: LoadedModel, settings: CompletionSettings): Promise<void> {
  const { config, tokenizer, session, table } = model;
  const decoding = openDecoding(session, config.model, table, 1);
  const options = { settings, tokenizer, contextLength: config.model.contextLength };
  const greeting = `${config.name}, step ${model.step}. Type a prompt; Ctrl-C stops a completion, Ctrl-D quits.`;
  await lineLoop(greeting, async (prompt, signal) => {
    const requests = requestsOf({ prompt }, options);
    const events = generate(decoding, tokenizer, requests, { order: 'input', signal });
    let head = prompt; // with the first event: an error before it stands on a line of its own
    for await (const event of events) {
      printPart(head + (event.kind === 'text' ? event.text : '\n'));
      head = '';
    }
  });
}
