/**
 * Feeds mutated configs, safetensors headers, tokenizer files, logs and JSON lines to their readers.
 *
 *   npm run check -- fuzz [COUNT=10000 [SEED=1]]
 *
 * Each reader must answer or refuse with an error message of clm, within a second of processor time, and change no
 * prototype; a tokenizer that is accepted must encode and decode.
 *
 * Time: 30 s
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { truncateMetrics } from '#clm/run/metrics.js';
import { BadHeader, parseHeader } from '#clm/tensors/safetensorsHeader.js';
import { loadConfig, parseResolvedConfig } from '#clm/config/load.js';
import { renderConfig } from '#clm/config/resolved.js';
import { fileDocuments } from '#clm/data/files/fileDocuments.js';
import { tokenizerFromFile } from '#clm/data/tokenizers/tokenizerFile.js';
import { ExpectedError } from '#clm/errors.js';
import { scratchFolder } from '../../lib/clm.mjs';

const [count = 10_000, seed = 1] = process.argv.slice(2).map(Number);
let state = seed;
const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
const below = (/** @type {number} */ limit) => Math.floor(random() * limit);

const scratch = scratchFolder('fuzz');
const log = path.join(scratch, 'metrics.jsonl');
const lines = path.join(scratch, 'documents.jsonl');
const entry = (/** @type {number} */ start, /** @type {number} */ end) => ({
  dtype: 'F32',
  shape: [2, (end - start) / 8],
  data_offsets: [start, end],
});
/** A tokenizer.json of byte-level BPE with the 256 bytes, some merges and an end of text. @param {object} parts */
function huggingFace(parts) {
  const spelling = [...Array(256).keys()].map((byte) => {
    const isShown = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    const hidden = byte <= 32 ? byte : byte <= 160 ? byte - 94 : 67;
    return String.fromCharCode(isShown ? byte : 256 + hidden);
  });
  const merges = ['t h', 'th e', 'a t'];
  const vocab = Object.fromEntries([...spelling, 'th', 'the', 'at', '<|endoftext|>'].map((token, id) => [token, id]));
  const added = {
    id: 259,
    content: '<|endoftext|>',
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  };
  return JSON.stringify({
    version: '1.0',
    added_tokens: [added],
    normalizer: null,
    ...parts,
    model: { type: 'BPE', vocab, merges },
  });
}
/** @typedef {'yaml' | 'safetensors' | 'tokenizer' | 'log' | 'jsonLines'} Kind */
/** @type {Record<Kind, string[]>} */
const seeds = {
  yaml: [
    'name: a\nseed: 3\ncorpus: { sources: [{ path: x.txt }], validation: { tail: 0.1 } }\nmodel: { layers: 2, ' +
      'heads: 2, width: 8 }\n',
    'name: long\ncorpus:\n  sources:\n    - { path: a.jsonl, field: body, weight: 2 }\n    - { path: "b.csv", ' +
      'weight: 1 }\n  validation: { hash: 0.01 }\n' +
      'tokenizer: { kind: bpe, vocabularySize: 512 }\nmodel: { family: llama, layers: 2, heads: 4, width: 16, ' +
      'contextLength: 32 }\n' +
      'training: { microBatchSize: 4, steps: 10 }\noptimizer: { learningRate: 1e-3 }\nschedule: { warmupSteps: 2 }\n',
    'name: ${env:HOME:-x}\nseed: ${training.steps}\ntraining: { steps: 7 }\ncorpus: { sources: [{ path: x.txt }] }\n',
    'a: &a [1, 2]\nb: &b [*a, *a]\nc: [*b, *b]\n<<: *a\n__proto__: { polluted: 1 }\nconstructor: { prototype: { ' +
      'polluted: 1 } }\n',
    'corpus:\n  sources:\n    - path: "a\\u0000b"\n  validation: ~\ntraining: { steps: 1e999, tokens: .inf, ' +
      'epochs: .nan }\n',
  ],
  safetensors: [
    JSON.stringify({ __metadata__: { a: 'b' }, one: entry(0, 16), two: entry(16, 64) }),
    JSON.stringify({
      scalar: { dtype: 'F32', shape: [], data_offsets: [0, 4] },
      none: { dtype: 'F32', shape: [0, 3], data_offsets: [4, 4] },
      rest: { dtype: 'F32', shape: [5, 3], data_offsets: [4, 64] },
    }),
    '{"__proto__":{"dtype":"F32","shape":[],"data_offsets":[0,4]},' +
      '"a":{"dtype":"F32","shape":[15],"data_offsets":[4,64]}}',
  ],
  tokenizer: [
    JSON.stringify({ format: 'clm-tokenizer', kind: 'bytes', version: 1 }),
    JSON.stringify({
      format: 'clm-tokenizer',
      kind: 'characters',
      version: 1,
      characters: ' Tacehst\u00e9',
      endOfText: true,
    }),
    huggingFace({
      pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
      decoder: { type: 'ByteLevel' },
    }),
    huggingFace({
      normalizer: { type: 'NFC' },
      pre_tokenizer: {
        type: 'Sequence',
        pretokenizers: [
          {
            type: 'Split',
            pattern: {
              Regex:
                String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ` +
                String.raw`?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
            },
            behavior: 'Isolated',
            invert: false,
          },
          { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
        ],
      },
      decoder: { type: 'ByteLevel' },
    }),
  ],
  log: [
    '{"kind":"step","step":1,"loss":2}\n{"kind":"evaluation","step":1,"loss":2}\n',
    '{"__proto__":{"polluted":1},"kind":"step","step":2}\n',
  ],
  jsonLines: [
    '{"text":"The cat sat"}\n{"text":"on the mat","id":7}\n\n{"id":8,"text":"\\ud83d\\ude00 caf\\u00e9"}\n',
    '{"__proto__":{"polluted":1},"text":"a"}\n{"text":"b","text":"c"}\n',
  ],
};
const pieces = [
  '"',
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '\n',
  '\0',
  '\\u0000',
  '__proto__',
  'constructor',
  '1e400',
  '-1',
  '9007199254740993',
  '&a ',
  '*a',
  '<<: ',
  '!!js/function ',
  '? ',
  '| ',
  '- ',
  '  ',
  '\t',
  '{'.repeat(400),
  '['.repeat(400),
  'a: '.repeat(60),
  '\ud800',
  '\u202e',
  'null',
  'true',
  '"F32"',
  '%YAML 9\n---\n',
];

/** A seed with some pieces put in, parts cut out or doubled, or bytes changed. @param {string} text */
function mutated(text) {
  for (let change = below(below(8) === 0 ? 12 : 3); change >= 0; change--) {
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

/** @type {Record<Kind, (text: string) => unknown>} */
const readers = {
  yaml: (text) => parseResolvedConfig(text, '/fuzz/config.yaml'),
  safetensors: (text) => parseHeader(Buffer.from(text), 64),
  tokenizer: (text) => {
    const tokenizer = tokenizerFromFile(text, '/fuzz/tokenizer.json');
    tokenizer.decode(tokenizer.encode('The cat sat'));
  },
  log: async (text) => {
    writeFileSync(log, text);
    await truncateMetrics(log, 1);
  },
  jsonLines: async (text) => {
    writeFileSync(lines, text);
    const range = { startByte: 0, endByte: Buffer.byteLength(text) };
    const file = {
      path: lines,
      bytes: range.endByte,
      startByte: 0,
      markBytes: 0,
      format: /** @type {const} */ ('jsonLines'),
    };
    for await (const _ of fileDocuments(file, range, {}));
  },
};
// A complete config, as a run has it; that and the other first ones are well formed, or nothing deep would be reached.
writeFileSync(path.join(scratch, 'whole.yaml'), seeds.yaml[0]);
seeds.yaml.unshift(renderConfig(loadConfig(path.join(scratch, 'whole.yaml'))));
const kinds = /** @type {Kind[]} */ (Object.keys(readers));
for (const kind of kinds) await readers[kind](seeds[kind][0]);
for (const text of seeds.tokenizer) readers.tokenizer(text);
const accepted = Object.fromEntries(kinds.map((kind) => [kind, 0]));
const given = { ...accepted };
let longestMs = 0;
let peakBytes = 0;
for (let i = 0; i < count; i++) {
  // The last two go through the disk and are slow: every fiftieth input each.
  const kind = i % 50 < 2 ? kinds[3 + (i % 50)] : kinds[i % 3];
  given[kind]++;
  const text = mutated(seeds[kind][below(seeds[kind].length)]);
  // Time of this process, not of the clock: other work on the machine is no hang.
  const began = process.cpuUsage();
  try {
    await readers[kind](text);
    accepted[kind]++;
  } catch (error) {
    if (!(error instanceof ExpectedError) && !(error instanceof BadHeader)) {
      throw new Error(`${kind} input ${i} (seed ${seed}) crashed: ${JSON.stringify(text)}`, { cause: error });
    }
  }
  const { user, system } = process.cpuUsage(began);
  const tookMs = (user + system) / 1000;
  longestMs = Math.max(longestMs, tookMs);
  if (tookMs > 1000) throw new Error(`${kind} input ${i} (seed ${seed}) took ${tookMs} ms: ${JSON.stringify(text)}`);
  if ('polluted' in {} || 'polluted' in []) throw new Error(`${kind} input ${i} changed a prototype: ${text}`);
  if (i % 1000 === 0) peakBytes = Math.max(peakBytes, process.memoryUsage().rss);
}
const megabytes = Math.round(peakBytes / 1e6);
const shares = kinds.map((kind) => `${kind} ${accepted[kind]} of ${given[kind]}`).join(', ');
console.log(
  `fuzz: ${count} inputs, accepted ${shares}; the others refused with a message; longest ${Math.round(longestMs)} ` +
    `ms of processor time, peak ${megabytes} MB`,
);
