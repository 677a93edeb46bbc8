/**
 * Published chat templates, rendered by clm as by transformers: texts, and what {% generation %} marks.
 *
 *   npm run check -- chats --python PYTHON --templates FOLDER
 *
 * PYTHON has transformers. FOLDER has *.jinja files, e.g. trl/chat_templates of the TRL wheel. A template that clm
 * refuses is named; one that it renders otherwise is a failure.
 *
 * Time: 20 s
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { chatTemplate } from '#clm/data/chat/chatTemplate.js';
import { run } from '../../lib/clm.mjs';

const { python, templates } = parseArgs({
  options: { python: { type: 'string', default: 'python3' }, templates: { type: 'string', default: '.' } },
}).values;
const date = '2026-03-04';
const seconds = String(Date.parse(date) / 1000);
const specialTokens = { bos_token: '<s>', eos_token: '</s>', pad_token: '<pad>', unk_token: '<unk>' };
const lines = run(python, [path.join(import.meta.dirname, 'chats.py'), templates, seconds])
  .trim()
  .split('\n');
if (lines.length < 2) throw new Error(`${templates} has no *.jinja`);

/** @type {Map<string, string>} */
const refused = new Map();
/** @type {string[]} */
const failures = [];
const counts = { equal: 0, spans: 0, refusedByBoth: 0 };
for (const line of lines) {
  const { template: name, messages, addGenerationPrompt, text, spans, refusal } = JSON.parse(line);
  const template = readFileSync(path.join(templates, name), 'utf8');
  /** @type {import('../../../src/data/chat/chatTemplate.ts').RenderedChat} */
  let rendered;
  try {
    rendered = chatTemplate({ template, path: name, specialTokens, date }).render(messages, addGenerationPrompt);
  } catch (error) {
    if (refusal === undefined) refused.set(name, String(error));
    else counts.refusedByBoth++;
    continue;
  }
  if (refusal !== undefined) {
    failures.push(`${name}: rendered, but transformers says ${refusal}`);
    continue;
  }
  const characters = (/** @type {number} */ index) => [...rendered.text.slice(0, index)].length;
  const own = (rendered.generated ?? []).map((span) => span.map(characters));
  if (rendered.text !== text)
    failures.push(`${name}: ${JSON.stringify(rendered.text)}\n instead of ${JSON.stringify(text)}`);
  else if (JSON.stringify(own) !== JSON.stringify(spans)) failures.push(`${name}: marks ${own} instead of ${spans}`);
  else counts.equal++;
  counts.spans += own.length;
}
console.log(`${lines.length} chats: ${counts.equal} equal, with ${counts.spans} marked parts`);
console.log(`refused by both: ${counts.refusedByBoth}; templates that clm alone refuses: ${refused.size}`);
for (const [name, message] of refused) console.log(`  ${name}: ${message}`);
if (failures.length > 0) {
  console.error(`FAILED: ${failures.length}\n${failures.slice(0, 20).join('\n')}`);
  process.exit(1);
}
