// Encoding speed, one thread, a GPT-2-sized vocabulary: clm beside gpt-tokenizer on the same text in one process.
// `npm run measure:tokenizers [-- --megabytes 50]`; half prose and Markdown, half code, of the installed packages.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { globSync } from 'tinyglobby';
import { encode } from 'gpt-tokenizer/encoding/r50k_base';
import { tokenizerFromFile } from '../../dist/data/tokenizers/tokenizerFile.js';
import { gpt2TokenizerJson } from './gpt2.mjs';
import { randomNumbers } from './mixed-text.mjs';

const { values } = parseArgs({ options: { megabytes: { type: 'string', default: '50' } } });
const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const bytes = Number(values.megabytes) * 1e6;
const files = ['md,txt', 'js,ts,mjs,py,h,cc,css'].map((ends) => globSync([`node_modules/**/*.{${ends}}`], { cwd: root }).sort());
const random = randomNumbers(1);
let text = '';
for (let kind = 0; Buffer.byteLength(text) < bytes; kind = 1 - kind) {
  let part = '';
  while (part.length < 200_000) part += readFileSync(path.join(root, files[kind][random(files[kind].length)]), 'utf8').slice(0, 100_000);
  text += part.toWellFormed?.() ?? Buffer.from(part).toString();
}
const utf8 = Buffer.from(text);
const tokenizer = tokenizerFromFile(JSON.stringify(await gpt2TokenizerJson(import.meta.url)), 'gpt2');
const origin = { place: String, remedy: '' };
tokenizer.encodeUtf8(utf8.subarray(0, 2_000_000), origin);
encode(text.slice(0, 2_000_000));
for (let round = 0; round < 3; round++) {
  let beganMs = performance.now();
  const own = tokenizer.encodeUtf8(utf8, origin);
  const ownMs = performance.now() - beganMs;
  beganMs = performance.now();
  let theirs = 0;
  for (let at = 0; at < text.length; at += 1_000_000) theirs += encode(text.slice(at, at + 1_000_000), { disallowedSpecial: new Set() }).length;
  const theirMs = performance.now() - beganMs;
  const speed = (ms) => (utf8.length / 1000 / ms).toFixed(1);
  console.log(`${utf8.length} bytes, ${own.length} tokens: clm ${speed(ownMs)} MB/s, gpt-tokenizer ${speed(theirMs)} MB/s (${theirs} tokens)`);
}
