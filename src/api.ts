/**
 * The JavaScript API: `import { loadRun, complete, completeAll, stream, score } from 'clm'`. With the same settings,
 * the results equal those of the commands `sample` and `score`. Intended for one open run per process.
 */
import type { Completion } from './sampling/completion.ts';
import { openDecoding, type Decoding } from './sampling/decoding.ts';
import { generate, type CompletionRequest } from './sampling/generate.ts';
import { loadModel } from './sampling/loadModel.ts';
import type { TokenLosses } from './sampling/scoring/overlappingWindows.ts';
import { requestsOf } from './sampling/requests.ts';
import { scoreChoices, scoreText, type ChoiceScores, type TextScore } from './sampling/scoring/textScores.ts';
import { openTokenLosses } from './sampling/scoring/tokenLosses.ts';
import { completeSettings, defaultSettings, type SettingsInput } from './sampling/settings.ts';
import type { Tokenizer } from './data/tokenizers/tokenizer.ts';

export type { ChoiceScores, Completion, SettingsInput, TextScore, Tokenizer };
export type { Alternative } from './sampling/tokenTexts.ts';
export { ExpectedError } from './errors.ts';

export interface LoadOptions {
  /** `last` (default), `best` (lowest validation loss) or the step of a checkpoint. */
  checkpoint?: 'last' | 'best' | number;
  /** The default is the run's config. */
  device?: 'auto' | 'cpu' | 'cuda';
  /** Type of the matrices in memory; bfloat16 takes half the memory of float32, the default. */
  weights?: 'float32' | 'bfloat16';
  /** Maximum number of completions generated at the same time; default 8. */
  batch?: number;
}

/** A loaded model. Calls on one run must not overlap: await each before the next. */
export interface Run {
  readonly name: string;
  readonly step: number;
  readonly contextLength: number;
  readonly tokenizer: Tokenizer;
  /** Frees the memory of the model; the run cannot be used afterwards. */
  close(): void;
}

/** A prompt, if needed with its own settings, which override those of the call. */
export type Prompt = string | ({ prompt: string } & SettingsInput);

interface OpenRun extends Run {
  /** @param promptIndex see `requestsOf` */
  request(prompt: Prompt, settings: SettingsInput, promptIndex?: number): CompletionRequest[];
  decoding(): Decoding;
  tokenLosses(): TokenLosses;
}

const openRuns = new WeakMap<Run, OpenRun>();

/**
 * Loads a model from a run directory or a checkpoint folder.
 *
 * @throws ExpectedError if there is none or it is damaged; `message` says what to do
 */
export async function loadRun(
  directory: string,
  { checkpoint = 'last', device, weights = 'float32', batch = 8 }: LoadOptions = {},
): Promise<Run> {
  const model = await loadModel(directory, { checkpoint: String(checkpoint), device, precision: 'float32', weights });
  const { config, tokenizer, session, table } = model;
  const { contextLength } = config.model;
  let decoding: Decoding | undefined;
  let tokenLosses: TokenLosses | undefined;
  const run: Run = { name: config.name, step: model.step, contextLength, tokenizer, close: model.close };
  openRuns.set(run, {
    ...run,
    request: (given, asked, promptIndex) => {
      const { prompt, ...own } = typeof given === 'string' ? { prompt: given } : given;
      const settings = completeSettings(defaultSettings(config), asked, tokenizer.vocabularySize);
      return requestsOf({ prompt, settings: own }, { settings, tokenizer, contextLength, promptIndex });
    },
    decoding: () => (decoding ??= openDecoding(session, config.model, table, batch)),
    tokenLosses: () => (tokenLosses ??= openTokenLosses(session, config.model, table, tokenizer.vocabularySize)),
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

/** Generates one completion of a prompt. The defaults of settings come from the config of the run. */
export async function complete(run: Run, prompt: Prompt, settings: SettingsInput = {}): Promise<Completion> {
  for await (const completion of completeAll(run, [prompt], { ...settings, samples: 1 })) return completion;
  throw new Error('a prompt had no completion');
}

/**
 * Generates `samples` completions of each prompt, in order. Prompts are read from the iterable as they are needed. Each
 * prompt without a seed of its own gets another one, made from `seed` and its number; with `sameSeed` all get `seed`.
 */
export async function* completeAll(
  run: Run,
  prompts: Iterable<Prompt> | AsyncIterable<Prompt>,
  { sameSeed = false, ...settings }: SettingsInput & { sameSeed?: boolean } = {},
): AsyncGenerator<IndexedCompletion, void, void> {
  const { request, decoding, tokenizer } = opened(run);
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
  for await (const event of generate(decoding(), tokenizer, requests(), { order: 'input' })) {
    if (event.kind !== 'completion') continue;
    const { index, completion } = event;
    yield { index, promptIndex: promptIndexes.get(index)!, ...completion };
    promptIndexes.delete(index);
  }
}

/** Yields the text of one completion as it is generated; leaving the loop ends the completion. */
export async function* stream(
  run: Run,
  prompt: Prompt,
  settings: SettingsInput = {},
): AsyncGenerator<string, void, void> {
  const { request, decoding, tokenizer } = opened(run);
  const requests = request(prompt, { ...settings, samples: 1 }).slice(0, 1);
  for await (const event of generate(decoding(), tokenizer, requests, { order: 'input' }))
    if (event.kind === 'text') yield event.text;
}

/** Computes ln p of every token of a text. */
export async function score(run: Run, text: string): Promise<TextScore>;
/** Computes ln p of each choice as a continuation of the prompt, and which is likeliest. */
export async function score(run: Run, question: { prompt: string; choices: readonly string[] }): Promise<ChoiceScores>;
export async function score(
  run: Run,
  asked: string | { prompt: string; choices: readonly string[] },
): Promise<TextScore | ChoiceScores> {
  const { tokenLosses, tokenizer } = opened(run);
  const tools = { tokenLosses: tokenLosses(), tokenizer };
  return typeof asked === 'string' ? scoreText(tools, asked) : scoreChoices(tools, asked.prompt, asked.choices);
}

function opened(run: Run): OpenRun {
  const open = openRuns.get(run);
  if (!open) throw new TypeError('not a run returned by loadRun');
  return open;
}
