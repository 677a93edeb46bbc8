// Feeds mutated configs, safetensors headers, tokenizer files and logs to their readers: each must answer or refuse with
// one of our messages, within a second, changing no prototype: node scripts/check-fuzz.mjs [COUNT [SEED]]
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { truncateMetrics } from '../dist/checkpoint/metrics.js';
import { BadHeader, parseHeader } from '../dist/checkpoint/safetensorsHeader.js';
import { parseResolvedConfig } from '../dist/config/load.js';
import { tokenizerFromFile } from '../dist/data/tokenizers/tokenizerFile.js';
import { ExpectedError } from '../dist/errors.js';

const [count = 10_000, seed = 1] = process.argv.slice(2).map(Number);
let state = seed;
const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
const below = (limit) => Math.floor(random() * limit);

const scratch = mkdtempSync(path.join(os.tmpdir(), 'clm-fuzz-'));
const log = path.join(scratch, 'metrics.jsonl');
const entry = (start, end) => ({ dtype: 'F32', shape: [2, (end - start) / 8], data_offsets: [start, end] });
const seeds = {
  yaml: [
    'name: a\nseed: 3\ncorpus: { sources: [{ path: x.txt }], validation: { tail: 0.1 } }\nmodel: { layers: 2, heads: 2, width: 8 }\n',
    'a: &a [1, 2]\nb: &b [*a, *a]\nc: [*b, *b]\n<<: *a\n__proto__: { polluted: 1 }\nconstructor: { prototype: { polluted: 1 } }\n',
    'corpus:\n  sources:\n    - path: "a\\u0000b"\n  validation: ~\ntraining: { steps: 1e999, tokens: .inf, epochs: .nan }\n',
  ],
  safetensors: [
    JSON.stringify({ __metadata__: { a: 'b' }, one: entry(0, 16), two: entry(16, 64) }),
    '{"__proto__":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[15],"data_offsets":[4,64]}}',
  ],
  tokenizer: [
    JSON.stringify({ kind: 'bytes', version: 1 }),
    JSON.stringify({ kind: 'characters', version: 1, characters: ['a', 'b', '\u00e9'] }),
    JSON.stringify({ version: '1.0', added_tokens: [], pre_tokenizer: { type: 'ByteLevel' }, model: { type: 'BPE', vocab: { a: 0, b: 1, ab: 2 }, merges: ['a b'] } }),
  ],
  log: ['{"kind":"step","step":1,"loss":2}\n{"kind":"evaluation","step":1,"loss":2}\n', '{"__proto__":{"polluted":1},"kind":"step","step":2}\n'],
};
const pieces = [
  '"', '{', '}', '[', ']', ',', ':', '\n', '\0', '\\u0000', '__proto__', 'constructor', '1e400', '-1', '9007199254740993', '&a ', '*a', '<<: ',
  '!!js/function ', '? ', '| ', '- ', '  ', '\t', '{'.repeat(400), '['.repeat(400), 'a: '.repeat(60), '\ud800', '\u202e', 'null', 'true', '"F32"', '%YAML 9\n---\n',
];

/** A seed with some pieces put in, parts cut out or doubled, or bytes changed. @param {string} text */
function mutated(text) {
  for (let change = below(5); change >= 0; change--) {
    const at = below(text.length + 1);
    const end = Math.min(text.length, at + below(20));
    const kind = below(4);
    if (kind === 0) text = text.slice(0, at) + pieces[below(pieces.length)] + text.slice(at);
    else if (kind === 1) text = text.slice(0, at) + text.slice(end);
    else if (kind === 2) text = text.slice(0, end) + text.slice(at);
    else text = text.slice(0, at) + String.fromCharCode(below(256)) + text.slice(at + 1);
  }
  return text;
}

const readers = {
  yaml: (text) => parseResolvedConfig(text, '/fuzz/config.yaml'),
  safetensors: (text) => parseHeader(Buffer.from(text), 64),
  tokenizer: (text) => tokenizerFromFile(text, '/fuzz/tokenizer.json'),
  log: async (text) => {
    writeFileSync(log, text);
    await truncateMetrics(log, 1);
  },
};
const kinds = Object.keys(readers);
let accepted = 0;
let longestMs = 0;
let peakBytes = 0;
for (let i = 0; i < count; i++) {
  // The log goes through the disk and is slow: every fiftieth input.
  const kind = i % 50 === 0 ? 'log' : kinds[i % 3];
  const text = mutated(seeds[kind][below(seeds[kind].length)]);
  // Time of this process, not of the clock: other work on the machine is no hang.
  const began = process.cpuUsage();
  try {
    await readers[kind](text);
    accepted++;
  } catch (error) {
    if (!(error instanceof ExpectedError) && !(error instanceof BadHeader)) {
      throw new Error(`${kind} input ${i} (seed ${seed}) crashed: ${JSON.stringify(text)}`, { cause: error });
    }
  }
  const { user, system } = process.cpuUsage(began);
  const tookMs = (user + system) / 1000;
  longestMs = Math.max(longestMs, tookMs);
  if (tookMs > 1000) throw new Error(`${kind} input ${i} (seed ${seed}) took ${tookMs} ms: ${JSON.stringify(text)}`);
  if ({}.polluted !== undefined || [].polluted !== undefined) throw new Error(`${kind} input ${i} changed a prototype: ${text}`);
  if (i % 1000 === 0) peakBytes = Math.max(peakBytes, process.memoryUsage().rss);
}
rmSync(scratch, { recursive: true });
const megabytes = Math.round(peakBytes / 1e6);
console.log(`fuzz: ${count} inputs, ${accepted} accepted, the others refused with a message; longest ${Math.round(longestMs)} ms, peak ${megabytes} MB`);
