/**
 * Renders chats by the Jinja template of a model, as transformers' `apply_chat_template` does. A template comes with
 * the files of a model, from anywhere, so it is run with limits: it sees only what it is given, and ends with an error
 * if it takes too many steps or makes too long a text.
 */
import { Environment, Interpreter, parse, tokenize } from '@huggingface/jinja';
import { wrongInput } from '../../errors.ts';
import type { ChatMessage } from './messages.ts';

/** What a template is rendered with, beside the messages. Plain data, so that it can be sent to a worker thread. */
export interface ChatTemplateSource {
  /** Jinja. */
  readonly template: string;
  /** For messages, e.g. "model/tokenizer_config.json". */
  readonly path: string;
  /** Spellings of special tokens by the names that templates know, e.g. `bos_token`. */
  readonly specialTokens: Readonly<Record<string, string>>;
  /** The day that `strftime_now` tells, as YYYY-MM-DD. */
  readonly date: string;
}

/** A rendered chat. */
export interface RenderedChat {
  readonly text: string;
  /**
   * Parts of the text inside {% generation %} marks, as [start, end) in UTF-16 units; null if the template has none.
   */
  readonly generated: readonly (readonly [start: number, end: number])[] | null;
}

export interface ChatTemplate {
  /**
   * @param addGenerationPrompt whether the beginning of an assistant's turn follows the messages
   * @throws wrongInput if the template raises an exception, or takes too long
   */
  render(messages: readonly ChatMessage[], addGenerationPrompt: boolean): RenderedChat;
}

/** Expressions, statements and rounds of loops of one rendering: a second or two. */
const maximumSteps = 300_000;

/** UTF-16 units of any text that a template makes. */
const maximumLength = 2 ** 24;

/** Unicode's noncharacters U+FDD0 to U+FDEF are in no text that is meant to be exchanged. They mark generated parts. */
const beginMark = '\uFDD0';
const endMark = '\uFDD1';

/** @throws wrongInput if the template is not Jinja that clm can run */
export function chatTemplate({ template, path, specialTokens, date }: ChatTemplateSource): ChatTemplate {
  const { text, isMarked } = withMarks(template.replace(/\r\n?/g, '\n'));
  const program = attempt(`the chat template of ${path} cannot be read (is every block closed?)`, () =>
    parse(tokenize(text, { lstrip_blocks: true, trim_blocks: true })),
  );
  const roles = rolesOf(program);
  return {
    render: (messages, addGenerationPrompt) => {
      const environment = new Environment();
      const variables = { ...specialTokens, messages, add_generation_prompt: addGenerationPrompt };
      for (const [name, value] of Object.entries({ ...constants, ...variables })) environment.set(name, value);
      environment.set('strftime_now', (format: string) => formattedDate(date, format));
      const interpreter = limited(new Interpreter(environment), roles);
      const rendered = attempt(`the chat template of ${path} fails`, () => String(interpreter.run(program).value));
      return isMarked ? withoutMarks(rendered) : { text: rendered, generated: null };
    },
  };
}

/** What every template may use. transformers gives `tools` and `documents`, too: without any, they are none. */
const constants = {
  true: true,
  false: false,
  none: null,
  True: true,
  False: false,
  None: null,
  tools: null,
  documents: null,
  raise_exception: (message: unknown) => {
    throw new Error(`it says ${JSON.stringify(message)}`);
  },
  range,
};

function range(first: number, second?: number, step = 1): number[] {
  const [start, stop] = second === undefined ? [0, first] : [first, second];
  const length = Math.max(0, Math.ceil((stop - start) / step));
  if (!(length <= maximumSteps)) throw new Error(`range(${start}, ${stop}, ${step}) is too long`);
  return Array.from({ length }, (_, i) => start + i * step);
}

/** A node of the parsed template. */
interface Node {
  readonly type: string;
  readonly [key: string]: unknown;
}

/** What matters about the nodes of a template, beside what they do. */
interface NodeRoles {
  /** Lists that loops go through. */
  readonly lists: Set<unknown>;
  /** Expressions whose value becomes text. */
  readonly texts: Set<unknown>;
  /** Expressions of which an attribute is read. */
  readonly holders: Set<unknown>;
}

function rolesOf(program: unknown): NodeRoles {
  const roles: NodeRoles = { lists: new Set(), texts: new Set(), holders: new Set() };
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    if (Array.isArray(value) || value instanceof Map) {
      for (const part of value) visit(part);
      return;
    }
    const node = value as Node;
    for (const key of ['body', 'alternate', 'defaultBlock'])
      for (const statement of Array.isArray(node[key]) ? node[key] : [])
        if (!statements.has((statement as Node).type)) roles.texts.add(statement);
    if (node.type === 'For') roles.lists.add((node['iterable'] as Node)['lhs'] ?? node['iterable']);
    if (node.type === 'MemberExpression') roles.holders.add(node['object']);
    if (node.type === 'BinaryExpression' && (node['operator'] as Node)['value'] === '~')
      for (const side of ['left', 'right']) roles.texts.add(node[side]);
    Object.values(node).forEach(visit);
  };
  visit(program);
  return roles;
}

/** Nodes that are not expressions. */
const statements = new Set('Program If For Break Continue Set Macro Comment CallStatement FilterStatement'.split(' '));

/** Values that the library spells as Python does. None, True, lists and so on are spelled in other ways. */
const spelledAlike = new Set(['StringValue', 'IntegerValue', 'UndefinedValue']);

/**
 * The interpreter, which from now on counts what it evaluates, looks at the length of every text, and refuses what it
 * would do in another way than Jinja in Python: to read an attribute of what is not defined, which is an error there.
 */
function limited(interpreter: Interpreter, { lists, texts, holders }: NodeRoles): Interpreter {
  const evaluate = interpreter.evaluate.bind(interpreter);
  let steps = 0;
  interpreter.evaluate = (node: Node | undefined, environment: unknown) => {
    const result = evaluate(node, environment) as { type: string; value: unknown };
    const { type, value } = result;
    // A loop makes a scope for each element before its first round.
    steps += 1 + (lists.has(node) && Array.isArray(value) ? value.length : 0);
    if (steps > maximumSteps) throw new Error(`it takes more than ${maximumSteps} steps`);
    if (typeof value === 'string' && value.length > maximumLength)
      throw new Error(`it makes a text longer than ${maximumLength}`);
    if (holders.has(node) && type === 'UndefinedValue')
      throw new Error(`it reads an attribute of ${nameOf(node!)}, which is not defined`);
    if (texts.has(node) && !spelledAlike.has(type))
      throw new Error(`it writes ${nameOf(node!)}, which is not a text but a ${type.replace('Value', '')}`);
    return result;
  };
  return interpreter;
}

/** An expression in words, as far as that is short. */
function nameOf(node: Node): string {
  if (node.type === 'Identifier') return String(node['value']);
  if (node.type !== 'MemberExpression') return 'an expression';
  const property = node['property'] as Node;
  const name = property['value'];
  return `${nameOf(node['object'] as Node)}${node['computed'] ? `[${String(name ?? '…')}]` : `.${String(name)}`}`;
}

function attempt<Value>(what: string, run: () => Value): Value {
  try {
    return run();
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw wrongInput(`${what}: ${message}`, { cause });
  }
}

/**
 * The template with marks in its output in place of {% generation %} and {% endgeneration %}, which the library would
 * drop. Around a mark is a block, since blocks and expressions treat the white space beside them differently.
 */
function withMarks(template: string): { text: string; isMarked: boolean } {
  let isMarked = false;
  const tags = /\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}/g;
  const text = template.replace(tags, (_, left: string, end: string | undefined, right: string) => {
    isMarked = true;
    return `{%${left} if true %}{{ '${end ? endMark : beginMark}' }}{% endif ${right}%}`;
  });
  return { text, isMarked };
}

function withoutMarks(rendered: string): RenderedChat {
  const generated: [number, number][] = [];
  let text = '';
  let start = -1;
  for (const part of rendered.split(/([\uFDD0\uFDD1])/)) {
    if (part === beginMark) start = text.length;
    else if (part === endMark) generated.push([start, text.length]);
    else text += part;
  }
  return { text, generated };
}

/** Python's strftime of a day, at midnight. @throws Error for what it does not know */
function formattedDate(date: string, format: string): string {
  const day = new Date(`${date}T00:00:00Z`);
  const named = (options: Intl.DateTimeFormatOptions): string =>
    new Intl.DateTimeFormat('en-US', { timeZone: 'UTC', ...options }).format(day);
  const [year, month, dayOfMonth] = date.split('-') as [string, string, string];
  const known: Readonly<Record<string, () => string>> = {
    Y: () => year,
    y: () => year.slice(2),
    m: () => month,
    d: () => dayOfMonth,
    B: () => named({ month: 'long' }),
    b: () => named({ month: 'short' }),
    A: () => named({ weekday: 'long' }),
    a: () => named({ weekday: 'short' }),
    H: () => '00',
    M: () => '00',
    S: () => '00',
    '%': () => '%',
  };
  return format.replace(/%(.)/gs, (directive, letter: string) => {
    const value = known[letter];
    if (value === undefined) throw new Error(`strftime_now does not know ${directive}`);
    return value();
  });
}
