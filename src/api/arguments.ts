/** Checks what programs pass to the API: in JavaScript nothing else does. */
import { inspect } from 'node:util';
import { chatMessages } from '../data/chat/messages.ts';
import { InputError } from '../errors.ts';
import type { AskedPrompt } from '../sampling/requests.ts';

/** @throws InputError if it is not a text */
export function checkDirectory(directory: unknown, caller: string): void {
  if (typeof directory !== 'string' || directory === '')
    throw new InputError(`${caller} needs the path of a run directory as a text, not ${shown(directory)}`);
}

/** @throws InputError naming the first option that is unknown, and those there are */
export function checkOptions(options: unknown, caller: string, names: readonly string[]): void {
  if (!isObject(options)) throw new InputError(`the options of ${caller} must be an object, not ${shown(options)}`);
  const unknown = Object.keys(options).find((key) => !names.includes(key));
  if (unknown !== undefined)
    throw new InputError(`${unknown} is not an option of ${caller}; the options are ${names.join(', ')}`);
}

/** @param value undefined counts as left out @throws InputError naming the values that are allowed */
export function checkChoice(name: string, value: unknown, allowed: readonly string[]): void {
  if (value !== undefined && !allowed.includes(value as string))
    throw new InputError(
      `${name} must be ${allowed.slice(0, -1).join(', ')} or ${allowed.at(-1)}, not ${shown(value)}`,
    );
}

/** Only that settings are an object; `completeSettings` checks what is in it. @throws InputError */
export function checkSettings(settings: unknown): void {
  if (!isObject(settings)) throw new InputError(`the settings must be an object, not ${shown(settings)}`);
}

/** @throws InputError if several completions are asked for, in the settings or with the prompt */
export function checkOneSample(caller: string, ...given: unknown[]): void {
  for (const each of given)
    if (isObject(each) && (each['samples'] ?? 1) !== 1)
      throw new InputError(`${caller} gives one completion; leave samples out, or use completeAll`);
}

/** @throws InputError if it is not a `Prompt`; its settings are not checked */
export function askedPrompt(given: unknown): AskedPrompt {
  if (typeof given === 'string') return { prompt: given };
  if (!isObject(given))
    throw new InputError(`a prompt must be a text, or an object with prompt or messages, not ${shown(given)}`);
  const { prompt, messages, ...settings } = given;
  if (prompt !== undefined && messages !== undefined)
    throw new InputError('prompt and messages are both given; choose one');
  if (messages !== undefined) return { prompt: '', messages: chatMessages(messages, 'messages'), settings };
  if (prompt === undefined) {
    const keys = Object.keys(settings).join(', ') || 'none';
    throw new InputError(`a prompt that is an object needs the key prompt or messages; its keys are: ${keys}`);
  }
  if (typeof prompt !== 'string') throw new InputError(`prompt must be a text, not ${shown(prompt)}`);
  return { prompt, settings };
}

/** @throws InputError if it cannot be iterated over, or is a text, whose characters nobody means */
export function checkPrompts(prompts: unknown): void {
  if (typeof prompts === 'string')
    throw new InputError('completeAll needs a list of prompts, not one text; put it into a list, or use complete');
  if (!isObject(prompts) || !(Symbol.iterator in prompts || Symbol.asyncIterator in prompts))
    throw new InputError(`completeAll needs a list of prompts, or an (async) iterable, not ${shown(prompts)}`);
}

/** @throws InputError if it is neither a text nor a question with a prompt and choices */
export function checkScored(asked: unknown): void {
  if (typeof asked === 'string') return;
  if (!isObject(asked))
    throw new InputError(`score needs a text, or an object with prompt and choices, not ${shown(asked)}`);
  const { prompt, choices, ...others } = asked;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw new InputError(`${unknown} is not a key of score; the keys are prompt, choices`);
  if (typeof prompt !== 'string') throw new InputError(`prompt must be a text, not ${shown(prompt)}`);
  if (!Array.isArray(choices) || choices.length === 0)
    throw new InputError(`choices must be a list of at least one text, not ${shown(choices)}`);
  const wrong = choices.findIndex((choice) => typeof choice !== 'string');
  if (wrong >= 0) throw new InputError(`choices[${wrong}] must be a text, not ${shown(choices[wrong])}`);
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

/** A value as it can be shown in a message. */
const shown = (value: unknown): string => inspect(value, { depth: 0, breakLength: Infinity }).slice(0, 60);
