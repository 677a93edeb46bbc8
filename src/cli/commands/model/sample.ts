/** `clm sample`: completions of prompts, streamed to stdout, or a line of JSON each. */
import { once } from 'node:events';
import type { CommandModule } from 'yargs';
import { wrongInput } from '../../../errors.ts';
import { openDecoding } from '../../../sampling/decoding.ts';
import { generate, type CompletionRequest } from '../../../sampling/generate.ts';
import { loadModel, type LoadedModel } from '../../../sampling/loadModel.ts';
import { defaultPrompt, fingerprintOf, requestsOf, type AskedPrompt } from '../../../sampling/requests.ts';
import { completeSettings, defaultSettings, type CompletionSettings } from '../../../sampling/settings.ts';
import { openCompletionsFile, type CompletionsFile } from './completionsFile.ts';
import { harmless, note, printJson } from '../../terminal/output.ts';
import { applyVerbose, assertWhole, deviceOption, jsonOption, quietOption } from '../../options.ts';
import { promptsOfFile, type PromptsFormat } from '../../prompts.ts';
import { askedSettings, optionName, settingsOptions, type SettingsArguments } from '../../settingsOptions.ts';

interface SampleArguments extends SettingsArguments {
  run: string;
  prompt?: string[];
  prompts?: string;
  format?: PromptsFormat;
  interactive: boolean;
  output?: string;
  order: 'input' | 'completed';
  batch: number;
  checkpoint: string;
  weights: 'float32' | 'bfloat16';
  device?: 'auto' | 'cpu' | 'cuda';
  json: boolean;
  quiet: boolean;
  verbose: boolean;
}

export const sampleCommand: CommandModule<object, SampleArguments> = {
  command: 'sample <run>',
  describe: 'Complete prompts with a trained model',
  builder: (parser) =>
    parser
      .positional('run', { type: 'string', demandOption: true, describe: 'Run directory or checkpoint folder' })
      .option('prompt', {
        type: 'string',
        array: true,
        nargs: 1,
        describe: 'Text to continue; may be repeated (default: the config’s samples.prompt)',
      })
      .option('prompts', {
        type: 'string',
        nargs: 1,
        describe: 'File of prompts, a line each, text or JSON lines with settings of their own; - for stdin',
      })
      .option('format', {
        choices: ['text', 'jsonl'] as const,
        describe: 'What the lines of --prompts are (default: by name or first character)',
      })
      .option('interactive', {
        alias: 'i',
        type: 'boolean',
        default: false,
        describe: 'Ask for prompts at the terminal; Ctrl-C stops a completion',
      })
      .options(settingsOptions)
      .option('output', {
        type: 'string',
        describe: 'Append the lines of --json to this file; what stands there is not made again',
      })
      .option('order', {
        choices: ['input', 'completed'] as const,
        default: 'input',
        describe: 'Order of the completions',
      })
      .option('batch', { type: 'number', default: 8, describe: 'Completions made side by side at most' })
      .option('checkpoint', { type: 'string', default: 'last', describe: 'last, best, or the step of a checkpoint' })
      .option('weights', {
        choices: ['float32', 'bfloat16'] as const,
        default: 'float32',
        describe: 'What the matrices are kept in: bfloat16 takes half the memory',
      })
      .options({ ...jsonOption, ...deviceOption, ...quietOption })
      .example('clm sample runs/moby-dick --prompt "Call me"', 'One completion')
      .example('clm sample runs/moby-dick --prompt "The whale" --samples 3 --json', 'Three, for a script')
      .example(
        'clm sample runs/moby-dick --prompts prompts.jsonl --output completions.jsonl',
        'Thousands; again after a stop: the rest',
      )
      .example('clm sample runs/moby-dick -i', 'A prompt to type at') as never,
  handler: async (args) => {
    applyVerbose(args.verbose);
    checkArguments(args);
    // Products in bfloat16 would cast every weight for every token: only what is read of memory may be halved.
    const { checkpoint, device, weights } = args;
    const model = await loadModel(args.run, { checkpoint, device, precision: 'float32', weights });
    try {
      const asked = askedSettings(args);
      const settings = completeSettings(
        defaultSettings(model.config),
        asked,
        model.tokenizer.vocabularySize,
        optionName,
      );
      if (args.interactive) {
        const { promptLoop } = await import('../../terminal/promptLoop.ts');
        await promptLoop(model, settings);
        return;
      }
      await printCompletions(args, model, settings);
    } finally {
      model.close();
    }
  },
};

async function printCompletions(
  args: SampleArguments,
  model: LoadedModel,
  settings: CompletionSettings,
): Promise<void> {
  const known = args.prompts === undefined ? (args.prompt?.length ?? 1) * settings.samples : Infinity;
  const decoding = openDecoding(model.session, model.config.model, model.table, Math.min(args.batch, known));
  const file = args.output === undefined ? undefined : await openCompletionsFile(args.output);
  if (file !== undefined && file.found > 0 && !args.quiet)
    note(`${args.output} holds ${file.found} completions already`);
  const begun: Begun[] = []; // by the order in which they are begun, as far as their completions are not there yet
  const requests = pendingRequests(args, model, settings, file, begun);
  const asText = args.json || file !== undefined ? undefined : textWriter(begun);
  try {
    for await (const event of generate(decoding, model.tokenizer, requests, { order: args.order })) {
      if (process.stdout.errored) return; // the reader has gone
      if (event.kind === 'text') {
        asText?.write(event.index, event.text);
        continue;
      }
      const { index, id, fingerprint } = begun[event.index]!;
      delete begun[event.index];
      asText?.end(event.index);
      const line = { index, ...(id === undefined ? {} : { id }), ...event.completion };
      file?.append({ ...line, fingerprint });
      if (args.json && !printJson(line)) await drained();
    }
  } finally {
    file?.close();
  }
}

/** What has to be known of a request until its completion is given out. */
interface Begun {
  /** Counts the completions asked for, those that stand in --output already included. */
  index: number;
  id: unknown;
  prompt: string;
  /** See `fingerprintOf`. */
  fingerprint: string;
}

async function* pendingRequests(
  args: SampleArguments,
  model: LoadedModel,
  settings: CompletionSettings,
  file: CompletionsFile | undefined,
  begun: Begun[],
): AsyncGenerator<CompletionRequest, void, void> {
  const { config, tokenizer } = model;
  const { contextLength } = config.model;
  let index = -1;
  for await (const asked of askedPrompts(args, model)) {
    const requests = requestsOf(asked, {
      settings,
      tokenizer,
      contextLength,
      promptName: asked.place === undefined ? '--prompt' : 'the prompt',
    });
    const { length } = requests[0]!.promptTokenIds;
    if (length > contextLength && !args.quiet)
      note(`${asked.place ?? ''}the prompt has ${length} tokens; the model sees the last ${contextLength}`);
    for (const request of requests) {
      index++;
      const fingerprint = fingerprintOf(request, model);
      if (file?.has(index, fingerprint)) continue;
      begun.push({ index, id: asked.id, prompt: asked.prompt, fingerprint });
      yield begun.length === 1 ? { ...request, beganMs: 0 } : request; // the first waits since the process began
    }
  }
}

async function* askedPrompts(args: SampleArguments, model: LoadedModel): AsyncGenerator<AskedPrompt, void, void> {
  if (args.prompts !== undefined) yield* promptsOfFile(args.prompts, args.format);
  else for (const prompt of args.prompt ?? [defaultPrompt(model.config, model.tokenizer)]) yield { prompt };
}

/** Streams the text whose turn it is, and keeps those that have begun after it. */
function textWriter(begun: readonly Begun[]): { write(index: number, text: string): void; end(index: number): void } {
  const kept = new Map<number, { text: string; ended: boolean }>();
  let turn = -1;
  const open = (): void => {
    turn++;
    const next = kept.get(turn);
    if (next === undefined) return;
    process.stdout.write(harmless(next.text));
    kept.delete(turn);
    if (next.ended) close();
  };
  const close = (): void => {
    process.stdout.write('\n');
    open();
  };
  const headed = (index: number): string => `${index > 0 ? '\n---\n' : ''}${begun[index]!.prompt}`;
  const heads = new Set<number>();
  const put = (index: number, text: string, ended: boolean): void => {
    if (turn < 0) open();
    const head = heads.has(index) ? '' : headed(index);
    heads.add(index);
    if (index === turn) {
      process.stdout.write(harmless(head + text));
      if (ended) close();
      return;
    }
    const before = kept.get(index)?.text ?? '';
    kept.set(index, { text: before + head + text, ended });
  };
  return { write: (index, text) => put(index, text, false), end: (index) => put(index, '', true) };
}

/** Waits until stdout takes more, so that a slow reader does not fill our memory. */
const drained = async (): Promise<void> => {
  await Promise.race([once(process.stdout, 'drain'), once(process.stdout, 'close')]).catch(() => undefined);
};

function checkArguments(args: SampleArguments): void {
  assertWhole('batch', args.batch, 1);
  if (args.prompt !== undefined && args.prompts !== undefined)
    throw wrongInput('--prompt and --prompts are given; choose one');
  if (args.format !== undefined && args.prompts === undefined)
    throw wrongInput('--format says what the lines of --prompts are, which is not given');
  if (args.logProbabilities !== undefined && !args.json && args.output === undefined) {
    throw wrongInput('--log-probabilities needs --json or --output: they are no text');
  }
  if (
    args.interactive &&
    (args.prompt !== undefined || args.prompts !== undefined || args.json || args.output !== undefined)
  ) {
    throw wrongInput(
      '--interactive asks for prompts itself and prints text: leave out --prompt, --prompts, --json and --output',
    );
  }
}
