/** The messages of a chat request as the chat template gets them. */
import type { ChatMessage } from '../data/chat/messages.ts';
import { badRequest } from './apiError.ts';
import { shown } from './fields.ts';

const roles = ['system', 'developer', 'user', 'assistant'];

/** Answers carry these keys; they may come back empty. */
const answerKeys = ['refusal', 'annotations', 'audio', 'tool_calls', 'function_call', 'reasoning_content'];

/**
 * @param knowsDeveloper whether the template has a developer's role; else those messages are the system's
 * @throws ApiError naming the message that is not a role and a text
 */
export function chatMessagesOf(messages: readonly unknown[], knowsDeveloper: boolean): ChatMessage[] {
  return messages.map((message, i) => {
    const where = `messages[${i}]`;
    if (typeof message !== 'object' || message === null || Array.isArray(message))
      throw badRequest(`'${where}' must be an object with 'role' and 'content', not ${shown(message)}.`, where);
    const { role, content, name, ...others } = message as Record<string, unknown>;
    if (role === 'tool' || role === 'function')
      throw badRequest(`'${where}.role': tool calls are not supported.`, `${where}.role`, 'unsupported_value');
    if (typeof role !== 'string' || !roles.includes(role))
      throw badRequest(`'${where}.role' must be ${roles.join(', ')}, not ${shown(role ?? null)}.`, `${where}.role`);
    if (name !== undefined && name !== null && typeof name !== 'string')
      throw badRequest(`'${where}.name' must be a text, not ${shown(name)}.`, `${where}.name`);
    for (const [key, value] of Object.entries(others)) {
      if (answerKeys.includes(key) && (value === null || (Array.isArray(value) && value.length === 0))) continue;
      const what = answerKeys.includes(key) ? 'is not supported' : 'is unknown';
      throw badRequest(`'${where}.${key.slice(0, 100)}' ${what}; leave it out.`, where, 'unsupported_parameter');
    }
    return {
      role: role === 'developer' && !knowsDeveloper ? 'system' : role,
      content: textOf(content, `${where}.content`),
      ...(typeof name === 'string' && { name }),
    };
  });
}

/** A text, or the texts of its parts one after the other. */
function textOf(content: unknown, where: string): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content))
    throw badRequest(`'${where}' must be a text or a list of text parts, not ${shown(content ?? null)}.`, where);
  return content
    .map((part: unknown, i) => {
      const { type, text } = Object(part) as { type?: unknown; text?: unknown };
      if (type !== 'text' && typeof type === 'string')
        throw badRequest(
          `'${where}[${i}]': parts of the type ${shown(type)} are not supported, only texts.`,
          `${where}[${i}]`,
          'unsupported_value',
        );
      if (type !== 'text' || typeof text !== 'string')
        throw badRequest(`'${where}[${i}]' must be {"type": "text", "text": …}.`, `${where}[${i}]`);
      return text;
    })
    .join('');
}
