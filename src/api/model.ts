/**
 * The JavaScript API for a trained model: load it, complete prompts, score texts. With the same settings, the results
 * equal those of the commands `sample` and `score`. Several models may be loaded at once.
 */
import { chatMessages, type ChatMessage } from '../data/chat/messages.ts';
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { InputError } from '../errors.ts';
import { answer } from '../sampling/chat.ts';
import type { Completion, Reply } from '../sampling/completion.ts';
import { openDecoding, type Decoding } from '../sampling/decoding.ts';
import { generate, type CompletionRequest } from '../sampling/generate.ts';
import { loadModel } from '../sampling/loadModel.ts';
import { requestsOf } from '../sampling/requests.ts';
import type { TokenLosses } from '../sampling/scoring/overlappingWindows.ts';
import { scoreChoices, scoreText, type ChoiceScores, type TextScore } from '../sampling/scoring/textScores.ts';
import { openTokenLosses } from '../sampling/scoring/tokenLosses.ts';
import {
  completeSettings,
  defaultSettings,
  type CompletionSettings,
  type SettingsInput,
} from '../sampling/settings.ts';
import {
  askedPrompt,
  checkChoice,
  checkDirectory,
  checkOneSample,
  checkOptions,
  checkPrompts,
  checkScored,
  checkSettings,
} from './arguments.ts';

/** How `loadRun` loads a model. */
export interface LoadOptions {
  /** `last` (default), `best` (lowest validation loss) or the step of a checkpoint. */
  checkpoint?: 'last' | 'best' | number;
  /** The default is the run's config. */
  device?: 'auto' | 'cpu' | 'cuda';
  /** Type of the matrices in memory; bfloat16 takes half the memory of float32, the default, and int8 a quarter. */
  weights?: 'float32' | 'bfloat16' | 'int8';
  /** Maximum number of completions generated at the same time; default 8. */
  batch?: number;
}

/** A loaded model. Calls on one run must not overlap: await each before the next, or load the model twice. */
export interface Run {
  /** The name in its config. */
  readonly name: string;
  /** Updates that the weights have had. */
  readonly step: number;
  /** Tokens that the model sees at once. */
  readonly contextLength: number;
  /** Text to token ids and back. */
  readonly tokenizer: Tokenizer;
  /**
   * Frees the memory of the model, at the end of a call that is under way. The run cannot be used afterwards; closing
   * it again does nothing. A process that has closed its runs ends by itself.
   */
  close(): void;
}

/** A prompt or a chat to answer, if needed with its own settings, which override those of the call. */
export type Prompt =
  | string
  | ({ prompt: string } & SettingsInput)
  | ({ messages: readonly ChatMessage[] } & SettingsInput);

/** What a run is used with. */
interface OpenRun {
  tokenizer: Tokenizer;
  chatDate: string | null;
  /** @param asked unchecked; the others come from the config of the run */
  settings(asked: SettingsInput): CompletionSettings;
  /** @param promptIndex see `requestsOf` */
  request(prompt: Prompt, settings: SettingsInput, promptIndex?: number): CompletionRequest[];
  decoding(): Decoding;
  tokenLosses(): TokenLosses;
  /** Begins a call. @returns what ends it @throws InputError if the run is closed, or in another call */
  begin(): () => void;
}

const openRuns = new WeakMap<Run, OpenRun>();

/**
 * Loads a model from a run directory or a checkpoint folder.
 *
 * @param directory a run directory or a checkpoint folder
 * @returns the model; close it after use
 * @throws InputError if there is no run or no such checkpoint, or for an option that is not valid;
 *   DamagedCheckpointError if a file of it is missing or damaged; EnvironmentError if memory does not suffice or there
 *   is no such device
 */
export async function loadRun(directory: string, options: LoadOptions = {}): Promise<Run> {
  checkDirectory(directory, 'loadRun');
  checkOptions(options, 'loadRun', ['checkpoint', 'device', 'weights', 'batch']);
  const { checkpoint = 'last', device, weights = 'float32', batch = 8 } = options;
  checkChoice('weights', weights, ['float32', 'bfloat16', 'int8']);
  checkChoice('device', device, ['auto', 'cpu', 'cuda']);
  if (!Number.isSafeInteger(batch) || batch < 1)
    throw new InputError(`batch must be a whole number of at least 1, not ${batch}`);
  const model = await loadModel(directory, { checkpoint: String(checkpoint), device, precision: 'float32', weights });
  await model.verified;
  const { config, tokenizer, session, table } = model;
  const { contextLength } = config.model;
  let decoding: Decoding | undefined;
  let tokenLosses: TokenLosses | undefined;
  let isBusy = false;
  let isClosed = false;
  const close = (): void => {
    if (!isClosed && !isBusy) model.close();
    isClosed = true;
  };
  const end = (): void => {
    isBusy = false;
    if (isClosed) model.close();
  };
  const run: Run = { name: config.name, step: model.step, contextLength, tokenizer, close };
  const { chatDate } = config.corpus;
  const settings = (asked: SettingsInput) => completeSettings(defaultSettings(config), asked, tokenizer);
  openRuns.set(run, {
    tokenizer,
    chatDate,
    settings,
    request: (given, asked, promptIndex) =>
      requestsOf(askedPrompt(given), { settings: settings(asked), tokenizer, contextLength, chatDate, promptIndex }),
    decoding: () => (decoding ??= openDecoding(session, config.model, table, batch)),
    tokenLosses: () => (tokenLosses ??= openTokenLosses(session, config.model, table, tokenizer.vocabularySize)),
    begin: () => {
      if (isClosed) throw new InputError(`the run ${config.name} has been closed; load it again`);
      if (isBusy)
        throw new InputError(
          `the run ${config.name} is in another call: await it (or leave its loop) first, give all prompts to one ` +
            'completeAll, or load the run twice',
        );
      isBusy = true;
      return end;
    },
  });
  return run;
}

/** A completion of `completeAll`. */
export interface IndexedCompletion extends Completion {
  /** Number of the completion among all of the call, from 0. */
  index: number;
  /** Number of its prompt, from 0. */
  promptIndex: number;
}

/**
 * Generates one completion of a prompt. Settings that are left out come from the config of the run.
 *
 * @throws InputError for settings or a prompt that are not valid, or a run that is closed or in another call
 */
export async function complete(run: Run, prompt: Prompt, settings: SettingsInput = {}): Promise<Completion> {
  checkSettings(settings);
  checkOneSample('complete', settings, prompt);
  for await (const completion of completeAll(run, [prompt], { ...settings, samples: 1 })) return completion;
  throw new Error('a prompt had no completion');
}

/**
 * Generates `samples` completions of each prompt, in order. Prompts are read from the iterable as they are needed, and
 * up to `batch` completions are generated at once. Each prompt without a seed of its own gets another one, made from
 * `seed` and its number; with `sameSeed` all get `seed`. The call lasts until the loop over it is left.
 *
 * @throws InputError as `complete`
 */
export async function* completeAll(
  run: Run,
  prompts: Iterable<Prompt> | AsyncIterable<Prompt>,
  options: SettingsInput & { sameSeed?: boolean } = {},
): AsyncGenerator<IndexedCompletion, void, void> {
  checkPrompts(prompts);
  checkSettings(options);
  const { sameSeed = false, ...settings } = options;
  const { request, decoding, tokenizer, begin } = opened(run);
  const promptIndexes = new Map<number, number>(); // of the completions that have not been yielded, by their number
  const requests = async function* () {
    let [index, promptIndex] = [0, 0];
    for await (const prompt of prompts) {
      for (const each of request(prompt, settings, sameSeed ? 0 : promptIndex)) {
        promptIndexes.set(index++, promptIndex);
        yield each;
      }
      promptIndex++;
    }
  };
  const end = begin();
  try {
    for await (const event of generate(decoding(), tokenizer, requests(), { order: 'input' })) {
      if (event.kind !== 'completion') continue;
      const { index, completion } = event;
      yield { index, promptIndex: promptIndexes.get(index)!, ...completion };
      promptIndexes.delete(index);
    }
  } finally {
    end();
  }
}

/**
 * Yields the text of one completion as it is generated. Leaving the loop ends the completion, and the call.
 *
 * @throws InputError as `complete`
 */
export async function* stream(
  run: Run,
  prompt: Prompt,
  settings: SettingsInput = {},
): AsyncGenerator<string, void, void> {
  checkSettings(settings);
  checkOneSample('stream', settings, prompt);
  const { request, decoding, tokenizer, begin } = opened(run);
  const requests = request(prompt, { ...settings, samples: 1 });
  const end = begin();
  try {
    for await (const event of generate(decoding(), tokenizer, requests, { order: 'input' }))
      if (event.kind === 'text') yield event.text;
  } finally {
    end();
  }
}

/**
 * Answers a conversation, as `clm chat` does: by the chat template of the model. A conversation that goes on from the
 * last one is read on, not again. Settings that are left out come from the config of the run, but an answer that fills
 * the context stops (`beyondContext: 'stop'`).
 *
 * @param messages the conversation, which the assistant answers; the oldest are left out if the context is too short
 * @param options.onText is called with each part of the answer as it is generated, and waited for; if it throws, so
 *   does `chat`
 * @param options.signal ends the answer at the next token; if it is aborted already, its reason is thrown
 * @throws InputError for messages that are not valid or do not fit, or as `complete`
 */
export async function chat(
  run: Run,
  messages: readonly ChatMessage[],
  settings: SettingsInput = {},
  { onText, signal }: { onText?: (text: string) => void | Promise<void>; signal?: AbortSignal } = {},
): Promise<Reply> {
  signal?.throwIfAborted();
  checkSettings(settings);
  if ((settings.samples ?? 1) !== 1) throw new InputError('chat gives one answer; leave samples out');
  const { settings: complete, decoding, tokenizer, chatDate, begin } = opened(run);
  const checked = chatMessages(messages, 'messages');
  const asked = complete({ beyondContext: 'stop', ...settings });
  const end = begin();
  try {
    const parts = answer({ tokenizer, decoding: decoding(), chatDate }, checked, asked, signal);
    for (;;) {
      const next = await parts.next();
      if (next.done) return next.value;
      await onText?.(next.value);
    }
  } finally {
    end();
  }
}

/**
 * Computes ln p of every token of a text but the first.
 *
 * @throws InputError for a text of fewer than two tokens, or a run that is closed or in another call
 */
export async function score(run: Run, text: string): Promise<TextScore>;
/**
 * Computes ln p of each choice as a continuation of the prompt, and which is likeliest.
 *
 * @throws InputError for an empty choice or none at all, or a run that is closed or in another call
 */
export async function score(run: Run, question: { prompt: string; choices: readonly string[] }): Promise<ChoiceScores>;
export async function score(
  run: Run,
  asked: string | { prompt: string; choices: readonly string[] },
): Promise<TextScore | ChoiceScores> {
  checkScored(asked);
  const { tokenLosses, tokenizer, begin } = opened(run);
  const end = begin();
  try {
    const tools = { tokenLosses: tokenLosses(), tokenizer };
    return await (typeof asked === 'string'
      ? scoreText(tools, asked)
      : scoreChoices(tools, asked.prompt, asked.choices));
  } finally {
    end();
  }
}

function opened(run: Run): OpenRun {
  const open = openRuns.get(run);
  if (!open) throw new InputError('not a run that loadRun has returned');
  return open;
}
