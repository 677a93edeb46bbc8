/** A preference pair, as the JSON of a row or a line holds it: a prompt and two completions, of which one is better. */
import { wrongInput } from '../../errors.ts';
import type { ChatTemplate } from './chatTemplate.ts';
import { chatMessages, type ChatMessage } from './messages.ts';

/** The values of the fields; without a prompt, what both completions begin with alike is the prompt. */
export interface PreferenceValues {
  readonly prompt?: unknown;
  readonly chosen: unknown;
  readonly rejected: unknown;
}

export interface PreferenceTexts {
  readonly prompt: string;
  /** The prompt with the completion that follows it. */
  readonly chosen: string;
  readonly rejected: string;
  /** Whether a chat template has made the texts of messages: it writes the special tokens. */
  readonly isChat: boolean;
}

/**
 * The texts of a pair as TRL makes them: texts as they are; of messages, the prompt with the beginning of an
 * assistant's turn, and the whole of each conversation.
 *
 * @param where for messages, e.g. `line 3 of pairs.jsonl`
 * @param template undefined while it is not known: then the texts of messages are empty
 * @throws wrongInput for values that are neither all texts nor all lists of messages, or that the template refuses
 */
export function preferenceTexts(
  values: PreferenceValues,
  where: string,
  template: ChatTemplate | undefined,
): PreferenceTexts {
  const given = Object.entries(values).filter(([, value]) => value !== undefined);
  const odd = given.find(([, value]) => typeof value !== 'string' && !Array.isArray(value));
  if (odd !== undefined)
    throw wrongInput(
      `${where}: ${odd[0]} is ${JSON.stringify(odd[1]).slice(0, 40)}, neither a text nor a list of messages.`,
    );
  const lists = given.filter(([, value]) => Array.isArray(value)).map(([name]) => name);
  if (lists.length === 0) return plainTexts(values as TextValues);
  if (lists.length < given.length)
    throw wrongInput(
      `${where}: ${lists.join(' and ')} ${lists.length > 1 ? 'are lists' : 'is a list'} of messages, the rest is ` +
        'text. A pair has texts alone or messages alone. If chosen and rejected begin with the prompt, leave prompt ' +
        'out of corpus.sources.',
    );
  const messages = (name: keyof PreferenceValues): ChatMessage[] => chatMessages(values[name], `${where}, ${name}`);
  const { prompt, chosen, rejected } =
    values.prompt === undefined
      ? splitMessages(messages('chosen'), messages('rejected'), where)
      : { prompt: messages('prompt'), chosen: messages('chosen'), rejected: messages('rejected') };
  const render = (list: readonly ChatMessage[], beginsTurn = false): string =>
    template?.render(list, beginsTurn).text ?? '';
  return {
    prompt: render(prompt, true),
    chosen: render([...prompt, ...chosen]),
    rejected: render([...prompt, ...rejected]),
    isChat: true,
  };
}

interface TextValues {
  prompt?: string;
  chosen: string;
  rejected: string;
}

function plainTexts({ prompt, chosen, rejected }: TextValues): PreferenceTexts {
  if (prompt !== undefined) return { prompt, chosen: prompt + chosen, rejected: prompt + rejected, isChat: false };
  let shared = sharedLength(chosen, rejected, (a, b) => a === b);
  if (shared > 0 && chosen[shared - 1] === ' ')
    shared--; // the space belongs to the word after it
  else if (shared > 0 && /[\uD800-\uDBFF]/.test(chosen[shared - 1]!)) shared--; // half of a character
  return { prompt: chosen.slice(0, shared), chosen, rejected, isChat: false };
}

/** The messages that both conversations begin with are the prompt; a completion has at least one message. */
function splitMessages(chosen: ChatMessage[], rejected: ChatMessage[], where: string) {
  const shared = sharedLength(chosen, rejected, (a, b) => JSON.stringify(a) === JSON.stringify(b));
  if (shared === 0)
    throw wrongInput(
      `${where}: chosen and rejected have no first message in common, which would be the prompt. Name the field of ` +
        'the prompt in corpus.sources.',
    );
  return { prompt: chosen.slice(0, shared), chosen: chosen.slice(shared), rejected: rejected.slice(shared) };
}

/** How many elements both begin with, so that at least one is left of each. */
function sharedLength<Element>(
  a: ArrayLike<Element>,
  b: ArrayLike<Element>,
  isEqual: (a: Element, b: Element) => boolean,
): number {
  const most = Math.max(0, Math.min(a.length, b.length) - 1);
  let shared = 0;
  while (shared < most && isEqual(a[shared]!, b[shared]!)) shared++;
  return shared;
}
