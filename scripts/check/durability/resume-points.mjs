/**
 * Resumes the training sequence of 25 kinds of corpus at random batches: the batches that follow must be equal.
 *
 *   npm run check -- resume-points [POINTS=200 [SEED=1]]
 *
 * POINTS of each corpus. The texts are made from Moby-Dick. Exit code 1 if a single point differs.
 *
 * Time: 5 minutes
 */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import { openCorpus } from '#clm/data/files/openCorpus.js';
import { parseCursor } from '#clm/data/windows/cursor.js';
import { trainingSequence } from '#clm/data/windows/mixture.js';
import { prepareTokenizer } from '#clm/data/tokens/prepareTokenizer.js';
import { randomStream } from '#clm/random.js';
import { root, scratchFolder } from '../../lib/clm.mjs';
import { mobyDick } from '../../lib/mobyDick.mjs';

const [points, seed] = [Number(process.argv[2] ?? 200), Number(process.argv[3] ?? 1)];
const book = mobyDick();
const scratch = scratchFolder('resume-points');
/** Batches that are compared behind each point. */
const following = 4;

const texts = Array.from(
  { length: 400 },
  (_, i) => `${i} é€😀 ${book.toString('latin1', i * 1500, i * 1500 + 100 + ((i * 97) % 1300))}`,
);
const text = texts.join('\n');
const lines = texts
  .map((text) => JSON.stringify({ text, prompt: text.slice(0, 90), completion: 'x'.repeat(40) }))
  .join('\n');
const table = (/** @type {string} */ delimiter) =>
  `id${delimiter}text\n${texts.map((text, i) => `${i}${delimiter}"${text.replaceAll('"', '""')}"`).join('\n')}\n`;

/**
 * A zstd file (RFC 8878): compressed where this Node can, else of raw blocks. In both two frames, as `cat` makes them.
 */
/** @param {string} content */
function zstd(content) {
  const bytes = Buffer.from(content);
  // Node has zstd only from 22.15 on.
  const compress = /** @type {{ zstdCompressSync?: typeof rawFrame }} */ (zlib).zstdCompressSync ?? rawFrame;
  const half = bytes.length >> 1;
  return Buffer.concat([bytes.subarray(0, half), bytes.subarray(half)].map(compress));
}

/** @param {Buffer<ArrayBufferLike>} bytes @returns {Buffer<ArrayBuffer>} */
function rawFrame(bytes) {
  /** @type {Buffer[]} */
  const parts = [Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38])]; // no content size, a window of 128 KiB
  for (let at = 0; at < bytes.length; at += 65_536) {
    const block = bytes.subarray(at, at + 65_536);
    const header = Buffer.alloc(3);
    header.writeUIntLE((block.length << 3) | (at + block.length >= bytes.length ? 1 : 0), 0, 3);
    parts.push(header, block);
  }
  return Buffer.concat(parts);
}

/**
 * @typedef {Record<string, string | Buffer | null>} Files contents by name; null stands for a Parquet file
 * @typedef {Record<string, any>} Corpus keys of a config's section `corpus` beside `sources`
 */
/** @type {[name: string, Files, Corpus?][]} */
const cases = [
  ['plain text', { 'a.txt': text }],
  ['plain text, gzip', { 'a.txt.gz': zlib.gzipSync(text) }],
  ['plain text, zstd', { 'a.txt.zst': zstd(text) }],
  ['between separators', { 'a.txt': texts.join('\n\n\n') }, { source: { separator: '\n\n\n' } }],
  ['between separators, zstd', { 'a.txt.zst': zstd(texts.join('\n\n\n')) }, { source: { separator: '\n\n\n' } }],
  ['JSON lines', { 'a.jsonl': lines }],
  ['JSON lines, gzip', { 'a.jsonl.gz': zlib.gzipSync(lines) }],
  ['JSON lines, zstd', { 'a.jsonl.zst': zstd(lines) }],
  ['pairs', { 'a.jsonl': lines }, { source: { prompt: 'prompt', completion: 'completion' } }],
  ['CSV', { 'a.csv': table(',') }],
  ['CSV, gzip', { 'a.csv.gz': zlib.gzipSync(table(',')) }],
  ['TSV', { 'a.tsv': table('\t') }],
  ['Parquet', { 'a.parquet': null }],
  ['a folder of running text', Object.fromEntries(texts.map((text, i) => [`${i % 7}/${i}.txt`, text]))],
  [
    'a folder of documents',
    Object.fromEntries(texts.map((text, i) => [`${i % 7}/${i}.txt`, text])),
    { source: { documents: 'file' } },
  ],
  [
    'a folder of every format',
    {
      'a.txt': text,
      'b.jsonl': lines,
      'c.csv.gz': zlib.gzipSync(table(',')),
      'd.parquet': null,
      'e.txt.zst': zstd(text),
    },
  ],
  ['bad UTF-8 replaced', { 'a.txt': Buffer.from(text, 'latin1') }, { encodingErrors: 'replace' }],
  ['by hash', { 'a.jsonl': lines }, { validation: { hash: 0.2 } }],
  [
    'a mixture',
    { 'a.txt': text, 'b.jsonl.gz': zlib.gzipSync(lines), 'c.parquet': null },
    {
      weights: [
        [5, 1],
        [3, 4],
        [2, 2],
      ],
    },
  ],
  ['documents packed', { 'a.jsonl': lines }, { packing: 'documents' }],
  ['documents packed, zstd', { 'a.jsonl.zst': zstd(lines) }, { packing: 'documents' }],
  ['documents packed, Parquet', { 'a.parquet': null }, { packing: 'documents' }],
  [
    'documents packed, long files',
    { 'a.txt': text.slice(0, 150_000), 'b.txt': text.slice(150_000) },
    { packing: 'documents', source: { documents: 'file' } },
  ],
  [
    'documents packed, pairs',
    { 'a.jsonl': lines },
    { packing: 'documents', source: { prompt: 'prompt', completion: 'completion' } },
  ],
  [
    'documents packed, a mixture',
    { 'a.jsonl': lines, 'b.csv': table(',') },
    {
      packing: 'documents',
      weights: [
        [1, 3],
        [2, 2],
      ],
    },
  ],
];

/**
 * @param {string} name @param {Files} files @param {Corpus} corpusKeys @param {number} number
 * @param {'bytes' | 'characters' | 'bpe'} kind of tokenizer
 */
async function check(name, files, { source = {}, weights, ...settings }, number, kind) {
  const folder = path.join(scratch, String(number));
  for (const [file, content] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
    if (content === null)
      copyFileSync(path.join(root, 'test/data/fixtures/many-groups.parquet'), path.join(folder, file));
    else writeFileSync(path.join(folder, file), content);
  }
  const sources = weights
    ? Object.keys(files).map((file, i) => ({
        ...source,
        path: path.join(folder, file),
        weight: weights[i][0],
        finalWeight: weights[i][1],
      }))
    : [{ ...source, path: folder }];
  const corpus = await openCorpus({ sources, validation: { tail: 0.1 }, shuffleTokens: 20_000, ...settings });
  const { tokenizer } = await prepareTokenizer(kind === 'bpe' ? { kind, vocabularySize: 400 } : { kind }, corpus);
  const options = { seed: 5, contextLength: 64, microBatchSize: 4, shuffleTokens: 20_000, totalWindows: 2_000 };
  const all = [];
  // To the end of the first epoch and well into the next, for small corpora several.
  for await (const batch of trainingSequence(corpus, tokenizer, options)) {
    all.push(batch);
    const { epoch, mixture } = batch.cursor;
    const isFar = mixture ? mixture.every(({ cursor }) => cursor.epoch >= 1) : epoch >= 1;
    if (all.length >= (isFar ? 250 : 4000)) break;
  }
  const random = randomStream(seed, 'resume points', number);
  let equal = 0;
  for (let i = 0; i < points; i++) {
    const at = random.below(all.length - following);
    const cursor = parseCursor(JSON.parse(JSON.stringify(all[at].cursor)), 'state.json');
    let next = at + 1;
    let isEqual = true;
    for await (const batch of trainingSequence(corpus, tokenizer, options, cursor)) {
      isEqual &&= JSON.stringify(batch) === JSON.stringify(all[next++]);
      if (next > at + following) break;
    }
    if (isEqual) equal++;
    else process.stdout.write(`  differs after batch ${at}, cursor ${JSON.stringify(cursor)}\n`);
  }
  process.stdout.write(`${equal} of ${points} equal: ${name}, ${kind} (${all.length} batches)\n`);
  if (equal < points) process.exitCode = 1;
}

const kinds = /** @type {const} */ (['bytes', 'characters', 'bpe']);
for (const [number, [name, files, settings = {}]] of cases.entries())
  await check(name, files, settings, number, kinds[number % 3]);
