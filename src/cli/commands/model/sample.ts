/** `clm sample`: completes prompts, as text that streams to stdout, or as JSON lines. */
import { once } from 'node:events';
import { wrongInput } from '../../../errors.ts';
import { openDecoding } from '../../../sampling/decoding.ts';
import { generate, type CompletionRequest } from '../../../sampling/generate.ts';
import { loadModel, type LoadedModel } from '../../../sampling/loadModel.ts';
import { defaultPrompt, fingerprintOf, requestsOf, type AskedPrompt } from '../../../sampling/requests.ts';
import { completeSettings, defaultSettings, type CompletionSettings } from '../../../sampling/settings.ts';
import { openCompletionsFile, type CompletionsFile } from './completionsFile.ts';
import { note, printJson, printPart, printWarning } from '../../terminal/output.ts';
import { assertWhole } from '../../options.ts';
import { promptsOfFile } from './promptsFile.ts';
import type { ArgumentsOf } from '../../usage.ts';
import { askedSettings, optionName } from './settingsArguments.ts';
import type { sampleUsage } from './usage.ts';

export async function sample(args: ArgumentsOf<typeof sampleUsage>): Promise<void> {
  checkArguments(args);
  // Computing in bfloat16 would cast every weight for every token: only the weights in memory may be bfloat16.
  const { checkpoint, device, weights } = args;
  const model = await loadModel(args.run, { checkpoint, device, precision: 'float32', weights });
  try {
    const asked = askedSettings(args);
    const settings = completeSettings(defaultSettings(model.config), asked, model.tokenizer, optionName);
    if (args.interactive) {
      const { promptLoop } = await import('../../terminal/promptLoop.ts');
      await promptLoop(model, settings);
      return;
    }
    await printCompletions(args, model, settings);
  } finally {
    model.close();
  }
}

async function printCompletions(
  args: ArgumentsOf<typeof sampleUsage>,
  model: LoadedModel,
  settings: CompletionSettings,
): Promise<void> {
  const known = args.prompts === undefined ? (args.prompt?.length ?? 1) * settings.samples : Infinity;
  const decoding = openDecoding(model.session, model.config.model, model.table, Math.min(args.batch, known));
  const file = args.output === undefined ? undefined : await openCompletionsFile(args.output);
  if (file !== undefined && file.found > 0 && !args.quiet)
    note(`${args.output} already contains ${file.found} completions`);
  const begun: Begun[] = []; // in the order of the requests; deleted once completed
  const requests = pendingRequests(args, model, settings, file, begun);
  const asText = args.json || file !== undefined ? undefined : textWriter(begun);
  let hasFailed = true;
  try {
    for await (const event of generate(decoding, model.tokenizer, requests, { order: args.order })) {
      if (process.stdout.errored) return; // the reader has gone
      if (event.kind === 'text') {
        asText?.write(event.index, event.text);
        continue;
      }
      const { index, promptIndex, id, fingerprint } = begun[event.index]!;
      asText?.end(event.index);
      delete begun[event.index]; // after its end: a completion without a text has its prompt written then
      const line = { index, promptIndex, ...(id === undefined ? {} : { id }), ...event.completion };
      file?.append({ ...line, fingerprint });
      if (args.json && !printJson(line)) await drained();
    }
    hasFailed = false;
  } catch (error) {
    asText?.breakOff();
    throw error;
  } finally {
    file?.close(hasFailed);
  }
}

/** What is kept of a request until its completion is written. */
interface Begun {
  /** Number of the completion among all requested, including those already in --output. */
  index: number;
  promptIndex: number;
  id: unknown;
  prompt: string;
  /** See `fingerprintOf`. */
  fingerprint: string;
}

async function* pendingRequests(
  args: ArgumentsOf<typeof sampleUsage>,
  model: LoadedModel,
  settings: CompletionSettings,
  file: CompletionsFile | undefined,
  begun: Begun[],
): AsyncGenerator<CompletionRequest, void, void> {
  const { config, tokenizer } = model;
  const { contextLength } = config.model;
  let [index, promptIndex] = [-1, -1];
  for await (const asked of askedPrompts(args, model)) {
    promptIndex++;
    const requests = requestsOf(asked, {
      settings,
      promptIndex: args.sameSeed ? 0 : promptIndex,
      tokenizer,
      contextLength,
      chatDate: config.corpus.chatDate,
      promptName: asked.location === undefined ? '--prompt' : 'the prompt',
    });
    const { length } = requests[0]!.promptTokenIds;
    if (length > contextLength && !args.quiet)
      note(`${asked.location ?? ''}the prompt has ${length} tokens; the model sees the last ${contextLength}`);
    for (const request of requests) {
      index++;
      const fingerprint = fingerprintOf(request, model);
      if (file?.has(index, fingerprint)) continue;
      begun.push({ index, promptIndex, id: asked.id, prompt: request.prompt, fingerprint });
      yield begun.length === 1 ? { ...request, beganMs: 0 } : request; // the first has waited since the process started
    }
  }
}

async function* askedPrompts(
  args: ArgumentsOf<typeof sampleUsage>,
  model: LoadedModel,
): AsyncGenerator<AskedPrompt, void, void> {
  if (args.prompts !== undefined) yield* promptsOfFile(args.prompts, args.format, printWarning);
  else for (const prompt of args.prompt ?? [defaultPrompt(model.config, model.tokenizer)]) yield { prompt };
}

/** Streams the completion whose turn it is, and buffers later ones. */
function textWriter(begun: readonly Begun[]): {
  write(index: number, text: string): void;
  end(index: number): void;
  /** Ends the line that has been begun, before an error. */
  breakOff(): void;
} {
  let isInLine = false;
  const print = (text: string): void => {
    if (text !== '') isInLine = !text.endsWith('\n');
    printPart(text);
  };
  const kept = new Map<number, { text: string; ended: boolean }>();
  let turn = -1;
  const open = (): void => {
    turn++;
    const next = kept.get(turn);
    if (next === undefined) return;
    print(next.text);
    kept.delete(turn);
    if (next.ended) close();
  };
  const close = (): void => {
    print('\n');
    open();
  };
  const headed = (index: number): string => `${index > 0 ? '\n---\n' : ''}${begun[index]!.prompt}`;
  const heads = new Set<number>();
  const put = (index: number, text: string, ended: boolean): void => {
    if (turn < 0) open();
    const head = heads.has(index) ? '' : headed(index);
    heads.add(index);
    if (index === turn) {
      print(head + text);
      if (ended) close();
      return;
    }
    const before = kept.get(index)?.text ?? '';
    kept.set(index, { text: before + head + text, ended });
  };
  return {
    write: (index, text) => put(index, text, false),
    end: (index) => put(index, '', true),
    breakOff: () => print(isInLine ? '\n' : ''),
  };
}

/** Waits until stdout accepts more, so that a slow reader does not fill the memory. */
const drained = async (): Promise<void> => {
  await Promise.race([once(process.stdout, 'drain'), once(process.stdout, 'close')]).catch(() => undefined);
};

function checkArguments(args: ArgumentsOf<typeof sampleUsage>): void {
  assertWhole('batch', args.batch, 1);
  if (args.prompt !== undefined && args.prompts !== undefined)
    throw wrongInput('--prompt and --prompts are both given; choose one');
  if (args.format !== undefined && args.prompts === undefined) throw wrongInput('--format needs --prompts');
  if (args.logProbabilities !== undefined && !args.json && args.output === undefined) {
    throw wrongInput('--log-probabilities needs --json or --output');
  }
  const isFixed = args.prompt !== undefined || args.prompts !== undefined || args.json || args.output !== undefined;
  if (args.interactive && isFixed)
    throw wrongInput('--interactive cannot be combined with --prompt, --prompts, --json or --output');
}
