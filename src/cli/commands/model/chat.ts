/** `clm chat`: a conversation with a model, typed in the terminal, or by --message. */
import { appendFile, open, stat } from 'node:fs/promises';
import path from 'node:path';
import type { ChatMessage } from '../../../data/chat/messages.ts';
import { ExpectedError, wrongInput } from '../../../errors.ts';
import { answer, type ChatModel } from '../../../sampling/chat.ts';
import type { Reply } from '../../../sampling/completion.ts';
import { openDecoding } from '../../../sampling/decoding.ts';
import { loadModel } from '../../../sampling/loadModel.ts';
import { completeSettings, defaultSettings, type CompletionSettings } from '../../../sampling/settings.ts';
import { diskFailure } from '../../../storage/diskFailure.ts';
import { note, printJson, printPart } from '../../terminal/output.ts';
import { lineLoop } from '../../terminal/lineLoop.ts';
import type { ArgumentsOf } from '../../usage.ts';
import { askedSettings, optionName } from './settingsArguments.ts';
import type { chatUsage } from './usage.ts';

/** A conversation that goes on from message to message. */
interface Talk {
  readonly start: readonly ChatMessage[];
  messages: readonly ChatMessage[];
  /** Answers a message of the user's; prints the answer to stdout. */
  say(content: string, signal?: AbortSignal): Promise<void>;
}

export async function chat(args: ArgumentsOf<typeof chatUsage>): Promise<void> {
  if (args.logProbabilities !== undefined && !args.json) throw wrongInput('--log-probabilities needs --json');
  const { checkpoint, device, weights } = args;
  const model = await loadModel(args.run, { checkpoint, device, precision: 'float32', weights });
  try {
    const { config, tokenizer, session, table } = model;
    const settings = completeSettings(defaultSettings(config), askedSettings(args), tokenizer, optionName);
    const decoding = openDecoding(session, config.model, table, 1);
    if (tokenizer.chat === null && !args.quiet)
      note('the model has no chat template; the plain one is used (docs/chat.md)');
    const talk = openTalk({ tokenizer, decoding, chatDate: config.corpus.chatDate }, settings, args);
    if (args.message === undefined) {
      const keys = 'Type a message; Ctrl-C stops an answer, Ctrl-D quits, /help.';
      await lineLoop(
        `${config.name}, step ${model.step}. ${keys}`,
        (line, signal) => typed(talk, line, signal),
        () => talk.messages.length > talk.start.length,
      );
      return;
    }
    for (const [i, message] of args.message.entries()) {
      if (i > 0 && !args.json) printPart('\n---\n');
      await talk.say(message);
    }
  } finally {
    model.close();
  }
}

function openTalk(
  model: ChatModel,
  settings: CompletionSettings,
  { system, json, quiet }: Pick<ArgumentsOf<typeof chatUsage>, 'system' | 'json' | 'quiet'>,
): Talk {
  const start: readonly ChatMessage[] = system === undefined ? [] : [{ role: 'system', content: system }];
  const talk: Talk = {
    start,
    messages: start,
    say: async (content, signal) => {
      const reply = await printed(answer(model, [...talk.messages, { role: 'user', content }], settings, signal), json);
      talk.messages = reply.messages;
      if (reply.droppedMessages > 0 && !quiet)
        note(`the context is full: the model did not see the ${reply.droppedMessages} oldest messages`);
      if (reply.finishReason === 'length' && !quiet && signal?.aborted !== true)
        note('the answer was cut: --max-tokens or the context is used up');
    },
  };
  return talk;
}

/** Prints an answer as it is generated, or at its end as JSON. */
async function printed(parts: AsyncGenerator<string, Reply, void>, json: boolean): Promise<Reply> {
  for (;;) {
    const next = await parts.next();
    if (!next.done) {
      if (!json) printPart(next.value);
      continue;
    }
    if (json) printJson(next.value);
    else printPart('\n');
    return next.value;
  }
}

/** Whether the last line of a file lacks its end. */
async function endsInLine(file: string): Promise<boolean> {
  const found = await stat(file).catch(() => undefined);
  if (!found?.isFile() || found.size === 0) return false;
  const handle = await open(file);
  try {
    return (await handle.read(Buffer.alloc(1), 0, 1, found.size - 1)).buffer[0] !== 0x0a;
  } finally {
    await handle.close();
  }
}

const help = `/reset       begin the conversation again
/save FILE   add the conversation to a file, as a line of JSON as in a corpus of chats
/help        this list
//text       a message that begins with a slash`;

/** A line that was typed: a message, or a command that begins with a slash. */
async function typed(talk: Talk, line: string, signal: AbortSignal): Promise<void> {
  try {
    await obeyed(talk, line, signal);
  } catch (error) {
    // A script that sends lines must learn that one of them has no answer.
    if (error instanceof ExpectedError && !process.stdin.isTTY) process.exitCode = error.exitCode;
    throw error;
  }
}

async function obeyed(talk: Talk, line: string, signal: AbortSignal): Promise<void> {
  if (!line.startsWith('/') || line.startsWith('//')) return talk.say(line.replace(/^\/\//, '/'), signal);
  const [command, ...rest] = line.split(' ');
  const argument = rest.join(' ').trim();
  if (command === '/help') {
    note(help);
    return;
  }
  if (command === '/reset') {
    talk.messages = talk.start;
    note('the conversation begins again');
    return;
  }
  if (command !== '/save') throw wrongInput(`unknown command ${command}; /help lists them`);
  if (argument === '') throw wrongInput('/save needs the name of a file');
  const file = path.resolve(argument);
  if (talk.messages.length === talk.start.length) throw wrongInput('nothing has been said yet that could be saved');
  try {
    const line = `${JSON.stringify({ messages: talk.messages })}\n`;
    await appendFile(file, (await endsInLine(file)) ? `\n${line}` : line);
  } catch (error) {
    throw diskFailure(error, 'write', file);
  }
  note(`${talk.messages.length} messages added to ${file}`);
}
