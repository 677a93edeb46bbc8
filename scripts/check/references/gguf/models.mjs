/** Small random models of every kind that GGUF holds, with tokenizers of every kind, as runs. */
import path from 'node:path';
import { readFileSync } from 'node:fs';
import { bytesTokenizer } from '#clm/data/tokenizers/bytes.js';
import { charactersTokenizer } from '#clm/data/tokenizers/characters.js';
import { bpeTraining } from '#clm/data/tokenizers/bpe/training/trainBpe.js';
import { tokenizerFromFile } from '#clm/data/tokenizers/tokenizerFile.js';
import { createImportedRun, importedConfig } from '#clm/huggingface/importedRun.js';
import { initialParameters, parameterTable } from '#clm/model/parameters.js';
import { root } from '../../../lib/clm.mjs';
import { mobyDick } from '../../../lib/mobyDick.mjs';
import { gpt2TokenizerJson } from '../../../lib/gpt2Tokenizer.mjs';

/** @typedef {import('#clm/data/tokenizers/tokenizer.js').Tokenizer} Tokenizer */

/** Of the tests: trained by Hugging Face's library. @param {string} name @returns {Tokenizer} */
const fixture = (name) => {
  const file = path.join(root, 'test/data/tokenizers/fixtures', `${name}.json`);
  return tokenizerFromFile(JSON.stringify(JSON.parse(readFileSync(file, 'utf8')).tokenizer), file);
};
const characters = [...new Set('Call me Ishmael. Ünïcödé, 日本 12345 🐋!\n\t'.split(/(?:)/u))].sort(
  (a, b) => (a.codePointAt(0) ?? 0) - (b.codePointAt(0) ?? 0),
);

const gpt2 = { family: 'gpt2', layers: 2, heads: 3, width: 96, contextLength: 64, biases: true };
const llama = { family: 'llama', layers: 2, heads: 4, keyValueHeads: 2, width: 96, contextLength: 64 };
const smollm3 = { ...llama, layers: 5, nopeEveryLayers: 4, headSize: 32 };
const llama3 = { kind: 'llama3', factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContextLength: 32 };

/** A tokenizer that clm trains, of 600 tokens. */
function ownBpe() {
  const training = bpeTraining();
  training.addChunk(mobyDick().subarray(0, 200_000), { endsText: true });
  return training.train(600);
}

/** @returns {Promise<{ name: string, model: object, tokenizer: Tokenizer }[]>} */
export async function models() {
  const own = ownBpe();
  const gpt2Tokenizer = tokenizerFromFile(JSON.stringify(await gpt2TokenizerJson()), 'tokenizer.json');
  return [
    { name: 'gpt2-real-tokenizer', model: gpt2, tokenizer: gpt2Tokenizer },
    { name: 'gpt2-own-bpe', model: { ...gpt2, biases: false, tiedEmbeddings: false }, tokenizer: own },
    { name: 'gpt2-characters', model: gpt2, tokenizer: charactersTokenizer(characters.join('')) },
    { name: 'gpt2-grouped-queries', model: { ...gpt2, heads: 6, keyValueHeads: 2 }, tokenizer: own },
    { name: 'llama-own-bpe', model: { ...llama, vocabularySize: 640 }, tokenizer: own },
    { name: 'llama-bytes', model: { ...llama, headSize: 40 }, tokenizer: bytesTokenizer({ endOfText: true }) },
    {
      name: 'llama-characters',
      model: { ...llama, biases: true },
      tokenizer: charactersTokenizer(characters.join('')),
    },
    { name: 'llama-scaled', model: { ...llama, ropeScaling: llama3 }, tokenizer: fixture('llama3') },
    {
      name: 'llama-linear',
      model: { ...llama, ropeScaling: { kind: 'linear', factor: 4 } },
      tokenizer: fixture('llama2'),
    },
    {
      name: 'llama-untied',
      model: { ...llama, tiedEmbeddings: false, normEpsilon: 1e-3 },
      tokenizer: fixture('smollm'),
    },
    { name: 'qwen2', model: { ...llama, queryKeyValueBiases: true }, tokenizer: fixture('qwen2') },
    { name: 'qwen3', model: { ...llama, queryKeyNorm: true, headSize: 32 }, tokenizer: fixture('o200k') },
    { name: 'qwen3-biases', model: { ...llama, queryKeyNorm: true, queryKeyValueBiases: true }, tokenizer: own },
    { name: 'smollm3', model: smollm3, tokenizer: own },
    { name: 'smollm3-biases', model: { ...smollm3, layers: 4, queryKeyValueBiases: true }, tokenizer: own },
  ];
}

/**
 * A run with random parameters, wide enough apart that likely tokens differ.
 * @param {string} run @param {object} model @param {Tokenizer} tokenizer
 */
export async function writeRun(run, model, tokenizer) {
  const config = importedConfig({ model }, tokenizer, { runDirectory: run, file: 'model' });
  const parameters = initialParameters(parameterTable(config.model, tokenizer.vocabularySize), 5).map((parameter) => {
    const isVector = parameter.shape.length === 1;
    const other = initialParameters([{ ...parameter, name: `${parameter.name}?`, ...normal }], 7)[0].values;
    const values = parameter.values.map((value, i) => value * (isVector ? 1 : 5) + (isVector ? other[i] : 0));
    return { ...parameter, values };
  });
  await createImportedRun(run, { config, tokenizer, record: { imported: {} }, model: parameters });
  return config.model;
}
/** @type {{ initial: { kind: 'normal', deviation: number }, decays: boolean, multiplies: boolean }} */
const normal = { initial: { kind: 'normal', deviation: 0.2 }, decays: false, multiplies: false };
