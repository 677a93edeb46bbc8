/** Where the format of chats comes from: the files of a model, a template of the user's, or a plain one. */
import { existsSync, statSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { wrongInput } from '../../errors.ts';
import { readBounded } from '../../storage/boundedFile.ts';
import { refusePointerAt } from '../../storage/pointerFiles.ts';
import type { ChatFormat, Tokenizer } from '../tokenizers/tokenizer.ts';

/**
 * The format of a model that brings none along. The end of a turn of the assistant ends a completion. An answer begins
 * after a line end, since a space before it would belong to its first token.
 */
export const plainTemplate = [
  '{%- for message in messages %}',
  "{{- message.role ~ ':\\n' }}",
  "{%- if message.role == 'assistant' %}",
  '{%- generation %}{{- message.content ~ eos_token }}{%- endgeneration %}',
  '{%- else %}{{- message.content }}{%- endif %}',
  "{{- '\\n\\n' }}",
  '{%- endfor %}',
  "{{- 'assistant:\\n' if add_generation_prompt else '' }}",
].join('\n');

/** The plain format with the end-of-text token of a tokenizer. */
export function plainFormat({ endOfText, spelling }: Pick<Tokenizer, 'endOfText' | 'spelling'>): ChatFormat {
  const end = endOfText === null ? '' : Buffer.from(spelling(endOfText)).toString();
  return { template: plainTemplate, specialTokens: { eos_token: end } };
}

/** Templates of public models have up to 20 kB. */
const maximumBytes = 1 << 20;

export function readTemplate(file: string): string {
  const problem = !existsSync(file) ? 'does not exist' : statSync(file).isFile() ? null : 'is not a file';
  if (problem !== null) throw wrongInput(`tokenizer.chatTemplate: ${file} ${problem}.`);
  refusePointerAt(file);
  return readBounded(file, maximumBytes).toString('utf8');
}

const spelled = z.union([z.string(), z.object({ content: z.string() }).transform(({ content }) => content)]);

/** The part of tokenizer_config.json and special_tokens_map.json that chats need. */
const settings = z.object({
  chat_template: z
    .union([z.string(), z.array(z.object({ name: z.string(), template: z.string() }))])
    .nullish()
    .catch(null),
});

const specialNames = ['bos_token', 'eos_token', 'unk_token', 'sep_token', 'pad_token', 'cls_token', 'mask_token'];

/** Every special token is spelled as nothing. */
export const noSpecialTokens = Object.fromEntries(specialNames.map((name) => [name, '']));

/**
 * The format that a Hugging Face folder gives its chats: chat_template.jinja before the template in
 * tokenizer_config.json, with the special tokens named there. null without a template.
 *
 * @throws wrongInput if one of the files is not JSON
 */
export function chatFormatOf(folder: string): ChatFormat | null {
  const config = jsonOf(path.join(folder, 'tokenizer_config.json'));
  const file = path.join(folder, 'chat_template.jinja');
  const named = settings.parse(config).chat_template ?? null;
  const template = existsSync(file)
    ? readBounded(file, maximumBytes).toString('utf8')
    : typeof named === 'string'
      ? named
      : (named?.find(({ name }) => name === 'default')?.template ?? null);
  if (template === null) return null;
  return { template, specialTokens: specialTokensOf(folder) };
}

/** The spellings of the special tokens that a Hugging Face folder names. */
export function specialTokensOf(folder: string): Record<string, string> {
  const named = {
    ...jsonOf(path.join(folder, 'special_tokens_map.json')),
    ...jsonOf(path.join(folder, 'tokenizer_config.json')),
  };
  const tokens: [string, string][] = [];
  for (const name of specialNames) {
    const token = spelled.safeParse(named[name]);
    if (token.success) tokens.push([name, token.data]);
  }
  return Object.fromEntries(tokens);
}

function jsonOf(file: string): Record<string, unknown> {
  if (!existsSync(file)) return {};
  try {
    const value: unknown = JSON.parse(readBounded(file, maximumBytes * 16).toString('utf8'));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
  }
  throw wrongInput(`${file} is not a JSON object. Get a fresh copy of the file.`);
}
