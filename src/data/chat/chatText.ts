/** The text of a chat to train on, and which parts of it count towards the loss. */
import { wrongInput } from '../../errors.ts';
import type { ChatTemplate } from './chatTemplate.ts';
import type { ByteSpan } from './lossMask.ts';
import type { ChatMessage } from './messages.ts';

/** Which turns count towards the loss: those of the assistant, its last one, or the whole text. */
export type LossOn = 'assistant' | 'last' | 'all';

/** A part of a text, [start, end) in UTF-16 units. */
export type TextSpan = readonly [start: number, end: number];

export interface ChatText {
  readonly text: string;
  /** Ascending and apart; empty if nothing counts, e.g. in a chat without an answer. */
  readonly lossSpans: readonly TextSpan[];
}

/** The parts of a chat's text that count towards the loss, in its UTF-8. */
export function lossByteSpans({ text, lossSpans }: ChatText): ByteSpan[] {
  const byteAt = (index: number): number => Buffer.byteLength(text.slice(0, index));
  return lossSpans.map(([start, end]) => [byteAt(start), byteAt(end)]);
}

/**
 * The assistant's turns are those that the template marks with {% generation %}. Without marks, the turn of message i
 * is what follows messages 1 … i − 1 and the beginning of an assistant's turn.
 *
 * @param remedy if it is not certain what the assistant says
 * @throws wrongInput if the template refuses the chat, or has no marks and renders a turn differently once others
 *   follow
 */
export function chatText(
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  lossOn: LossOn,
  remedy = 'Give a template with marks as tokenizer.chatTemplate, or set lossOn: all',
): ChatText {
  const { text, generated } = template.render(messages, false);
  if (lossOn === 'all') return { text, lossSpans: text === '' ? [] : [[0, text.length]] };
  const turns = messages.flatMap(({ role }, i) => (role === 'assistant' ? [i] : []));
  const wanted = lossOn === 'last' ? turns.slice(-1) : turns;
  const marked = lossOn === 'last' ? generated?.slice(-1) : generated;
  const spans = marked ?? wanted.map((i) => turnSpan(template, messages, i, text, remedy));
  return { text, lossSpans: spans.filter(([start, end]) => end > start) };
}

/** Where message `i` is in the rendered chat, without the beginning that every turn of the assistant has. */
function turnSpan(
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  i: number,
  text: string,
  remedy: string,
): TextSpan {
  const before = template.render(messages.slice(0, i), true).text;
  const until = i === messages.length - 1 ? text : template.render(messages.slice(0, i + 1), false).text;
  if (text.startsWith(until) && until.startsWith(before)) return [before.length, until.length];
  throw wrongInput(
    `the chat template renders message ${i + 1} differently once it is known what follows, and has no ` +
      `{% generation %} marks, so it is not certain what the assistant says. ${remedy}`,
  );
}
