/**
 * Trains 29 kinds of config in one go and again with two stops: both must be equal to the last bit.
 *
 *   npm run check -- resume [STEPS=24]
 *
 * The command behind it is clm verify-resume. The configs cover every schedule, optimizer, tokenizer and kind of
 * source, mixtures, packing, dropout, accumulation and precision; compared are logs, parameters, optimizer state and
 * cursor.
 *
 * Time: 2 minutes
 */
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { verifyResume } from '#clm/checks/verifyResume.js';
import { root, scratchFolder } from '../../lib/clm.mjs';

const [steps = 24] = process.argv.slice(2).map(Number);
const scratch = scratchFolder('resume');

const words = ['whale', 'sea', 'ship', 'Ahab', 'deep', 'harpoon', 'white', 'café', '鯨'];
/** @param {number} from @param {number} count */
const sentence = (from, count) =>
  Array.from({ length: count }, (_, i) => words[(i * i + 3 * i + from * 7) % words.length]).join(' ');
const documents = Array.from({ length: 60 }, (_, i) => sentence(i, 3 + ((i * 5) % 17)));
const files = {
  'text.txt': documents.join('. '),
  'other.txt': `${'A ship at sea. '.repeat(70)}\n`,
  'parts.txt': documents.join('\n---\n'),
  'lines.jsonl': documents.map((text, id) => JSON.stringify({ id, text })).join('\n'),
  'pairs.jsonl': documents
    .map((completion, i) => JSON.stringify({ prompt: `${sentence(i, 2)}? `, completion }))
    .join('\n'),
  'table.csv': `id,text\n${documents.map((text, i) => `${i},"${text}, ""so"" it was\nsaid"`).join('\n')}\n`,
  'table.tsv': `id\ttext\n${documents.map((text, i) => `${i}\t${text}`).join('\n')}\n`,
};
for (const [name, text] of Object.entries(files)) writeFileSync(path.join(scratch, name), text);
writeFileSync(path.join(scratch, 'lines.jsonl.gz'), gzipSync(files['lines.jsonl']));
mkdirSync(path.join(scratch, 'folder'));
documents.forEach((text, i) => writeFileSync(path.join(scratch, 'folder', `${i}.txt`), text));
cpSync(path.join(root, 'test/data/fixtures'), path.join(scratch, 'fixtures'), { recursive: true });
process.chdir(scratch); // paths in --set are relative to it
const config = path.join(scratch, 'tiny.yaml');
writeFileSync(
  config,
  `corpus: { sources: [{ path: text.txt }], shuffleTokens: 1024 }
model: { layers: 1, heads: 2, width: 12, contextLength: 10 }
training: { microBatchSize: 3 }
optimizer: { learningRate: 1e-2 }
schedule: { warmupSteps: 3 }
evaluation: { everySteps: 7 }
checkpoints: { everySteps: 5, keepLast: null }
samples: { everySteps: null, prompt: a }
`,
);
/** @param {string} list in YAML */
const sources = (list) => `corpus.sources=[${list}]`;
const bytes = 'tokenizer.kind=bytes';
const hash = 'corpus.validation={ hash: 0.2 }';
const packed = 'corpus.packing=documents';
const mixture = sources(
  '{ path: lines.jsonl, weight: 2, finalWeight: 1 }, { path: text.txt, weight: 1 }, { path: table.csv, weight: 1 }',
);

/** @type {Record<string, string[]>} */
const cases = {
  'cosine, AdamW, characters, text': [],
  linear: ['schedule.kind=linear', 'schedule.finalLearningRate=0'],
  constant: ['schedule.kind=constant'],
  'warm-up–stable–decay': ['schedule.kind=warmup-stable-decay', 'schedule.decaySteps=9'],
  'inverse square root': ['schedule.kind=inverse-square-root'],
  Muon: ['optimizer.kind=muon'],
  'running mean of the parameters': ['training.emaDecay=0.9'],
  'outliers skipped': ['training.guard={ outlierDeviations: 0.7, windowSteps: 10, maxSkips: 99 }'],
  bytes: [bytes],
  BPE: ['tokenizer={ kind: bpe, vocabularySize: 290 }'],
  'files one after the other': [sources('{ path: text.txt }, { path: other.txt }')],
  'a file a document': [bytes, sources('{ path: folder, documents: file }'), hash],
  'separated documents': [bytes, sources('{ path: parts.txt, separator: "\\n---\\n" }')],
  'JSON lines': [bytes, sources('{ path: lines.jsonl }')],
  'JSON lines, gzip': [bytes, sources('{ path: lines.jsonl.gz }')],
  pairs: [bytes, sources('{ path: pairs.jsonl, prompt: prompt, completion: completion }')],
  CSV: [bytes, sources('{ path: table.csv }')],
  TSV: [bytes, sources('{ path: table.tsv }')],
  Parquet: [bytes, sources('{ path: fixtures/many-groups.parquet }')],
  'packed documents': [bytes, sources('{ path: lines.jsonl }'), packed],
  'packed pairs': [bytes, sources('{ path: pairs.jsonl, prompt: prompt, completion: completion }'), packed, hash],
  'a mixture': [bytes, mixture],
  'a mixture of packed documents': [
    bytes,
    sources('{ path: lines.jsonl, weight: 2 }, { path: table.tsv, weight: 1 }'),
    packed,
  ],
  dropout: ['model.dropout=0.2'],
  accumulation: ['training.microBatchesPerStep=3', 'model.dropout=0.1'],
  bfloat16: ['training.precision=bfloat16'],
  recompute: ['training.recompute=block', 'model.dropout=0.1'],
  llama: ['model.family=llama', 'model.keyValueHeads=1'],
  'token workers': [bytes, 'corpus.workers=2', sources('{ path: lines.jsonl }')],
};
let equal = 0;
for (const [name, set] of Object.entries(cases)) {
  const folder = path.join(scratch, 'runs');
  const stops = [Math.floor(steps / 3) - 1, Math.floor((2 * steps) / 3)];
  const request = /** @type {const} */ ({
    configPath: config,
    steps,
    stops,
    folder,
    mode: 'recorded',
    signal: new AbortController().signal,
  });
  const result = await verifyResume({ ...request, set }).catch((error) => {
    throw new Error(`${name}: ${error.message}`, { cause: error });
  });
  if (!result.equal) throw new Error(`${name}: ${result.difference}`);
  equal++;
  rmSync(folder, { recursive: true });
}
console.log(`resume: ${equal} configs of ${steps} steps, each equal to the last bit without and with two stops`);
