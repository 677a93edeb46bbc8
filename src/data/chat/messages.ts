/** The messages of a chat, as the JSON of a row or a line holds them. */
import { wrongInput } from '../../errors.ts';

/** `role` and `content`, and what else a template may read, e.g. `name`. */
export interface ChatMessage {
  readonly role: string;
  readonly content: string;
  readonly [key: string]: unknown;
}

/** Keys that call tools or answer them, which clm does not train on. Empty ones are common and mean nothing. */
const toolKeys = ['tool_calls', 'tool_call_id', 'function_call'];

/** A value as it can be shown in a message. */
const shown = (value: unknown): string => (JSON.stringify(value) ?? String(value)).slice(0, 40);

/**
 * @param where for messages, e.g. `line 3 of chats.jsonl: "messages"`
 * @throws wrongInput naming the message that is not a role and a text, or that calls a tool
 */
export function chatMessages(value: unknown, where: string): ChatMessage[] {
  if (!Array.isArray(value)) throw wrongInput(`${where} is ${shown(value)}, not a list of messages.`);
  if (value.length === 0) throw wrongInput(`${where} is an empty list of messages.`);
  return value.map((message, i) => checkedMessage(message, `${where}, message ${i + 1}`));
}

function checkedMessage(message: unknown, where: string): ChatMessage {
  if (typeof message !== 'object' || message === null || Array.isArray(message))
    throw wrongInput(`${where} is ${shown(message)}, not an object with "role" and "content".`);
  const { role, content } = message as Record<string, unknown>;
  const keys = Object.keys(message).join(', ') || 'none';
  if (typeof role !== 'string' || role === '')
    throw wrongInput(
      `${where} needs a "role", e.g. user or assistant (it has the keys ${keys}).${conversion(message)}`,
    );
  const tool = toolKeys.find((key) => !isEmpty((message as Record<string, unknown>)[key]));
  if (tool !== undefined || role === 'tool' || role === 'function')
    throw wrongInput(
      `${where} has ${tool === undefined ? `the role "${role}"` : `"${tool}"`}: tool calls are not supported.`,
    );
  if (typeof content !== 'string')
    throw wrongInput(
      `${where} has ${content === undefined ? 'no "content"' : `the content ${shown(content)}, not a text`}.`,
    );
  return message as ChatMessage;
}

/** The field of a row that holds a chat, if there is one; texts of Parquet are bytes. */
export function chatField(row: Readonly<Record<string, unknown>>): string | undefined {
  const isText = (value: unknown): boolean => typeof value === 'string' || Buffer.isBuffer(value);
  const isMessage = (value: unknown): boolean =>
    typeof value === 'object' && value !== null && 'role' in value && 'content' in value && isText(value.role);
  return Object.keys(row).find((field) => {
    const value = row[field];
    return Array.isArray(value) && value.length > 0 && value.every(isMessage);
  });
}

/** How to convert the other common form of messages. */
const conversion = (message: object): string =>
  Object.hasOwn(message, 'from') && Object.hasOwn(message, 'value')
    ? " Convert them: jq -c '.FIELD |= map({role: " +
      '({"human":"user","gpt":"assistant"}[.from] // .from), content: .value})\''
    : '';

const isEmpty = (value: unknown): boolean => (value ?? null) === null || (Array.isArray(value) && value.length === 0);
