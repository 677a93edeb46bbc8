/** `clm serve` as a process, and a small model for it. */
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { clm, program } from './clm.mjs';

/**
 * Trains a model of bytes for a few steps, so that what it writes is as mixed as it gets; it has a chat template.
 * @param {string} folder to put it into @param {Record<string, number>} [model] keys of the config
 * @returns {string} the run
 */
export function smallChatRun(folder, model = {}) {
  const at = (/** @type {string} */ name) => path.join(folder, name);
  const turns = ['Is it far?', 'Not very.', 'How far?', 'A mile.'];
  const chat = turns.map((content, i) => ({ role: i % 2 === 0 ? 'user' : 'assistant', content }));
  writeFileSync(at('chats.jsonl'), `${JSON.stringify({ messages: chat })}\n`.repeat(40));
  writeFileSync(
    at('chats.jinja'),
    "{% for m in messages %}{{ m.role + ': ' + m.content + '\\n' }}{% endfor %}" +
      "{{ 'assistant: ' if add_generation_prompt }}",
  );
  const config = {
    name: 'small',
    corpus: { sources: [{ path: 'chats.jsonl', messages: 'messages', lossOn: 'all' }], validation: { tail: 0.1 } },
    tokenizer: { kind: 'bytes', chatTemplate: 'chats.jinja' },
    model: { layers: 2, heads: 2, width: 64, contextLength: 256, ...model },
    training: { microBatchSize: 2, steps: 3 },
    evaluation: { everySteps: null },
    samples: { everySteps: null, maxTokens: 40 },
  };
  writeFileSync(at('small.yaml'), JSON.stringify(config));
  clm('train', at('small.yaml'), '--run', at('small'), '--quiet');
  return at('small');
}

/**
 * Starts `clm serve` on a free port.
 * @param {string[]} args @param {string} [file] that Node runs as clm
 * @returns {Promise<{ url: string, pid: number, stop: () => Promise<number | null>, residentBytes: () => number }>}
 *   `stop` sends SIGTERM and resolves to the exit code
 */
export async function startServer(args, file = program) {
  const child = spawn(process.execPath, [file, 'serve', ...args, '--port', '0', '--json', '--quiet'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  /** @type {Promise<number | null>} */
  const ended = new Promise((resolve) => child.on('close', resolve));
  process.on('exit', () => child.kill('SIGKILL'));
  /** @type {string} */
  const url = await new Promise((resolve, reject) => {
    let text = '';
    child.stdout.on('data', (chunk) => {
      if (text.includes('\n')) return;
      text += chunk;
      if (text.includes('\n')) resolve(JSON.parse(text.slice(0, text.indexOf('\n'))).url);
    });
    ended.then((code) => reject(new Error(`clm serve ended with ${code}`)));
  });
  const pid = /** @type {number} */ (child.pid);
  return {
    url,
    pid,
    stop: () => {
      child.kill('SIGTERM');
      return ended;
    },
    residentBytes: () => 4096 * Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]),
  };
}

/**
 * A request with a JSON body.
 * @param {string} url @param {object} body @param {AbortSignal} [signal]
 */
export const post = (url, body, signal) =>
  fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body), signal });
