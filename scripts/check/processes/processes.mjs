/**
 * Trains one config with 1, 2 and 4 processes, and with stops between which their number changes: all equal to the bit.
 *
 *   npm run check -- processes [NAME …] [--steps 50]
 *
 * Each case is trained alone, by two, by four, and once more in parts: two processes until a third of the steps, one
 * until two thirds, then four, which are killed (SIGKILL, all at once) after a checkpoint and continued by two.
 * Compared are parameters, optimizer state, and every loss, gradient norm and evaluation in the log. NAME picks cases
 * by part of their name.
 *
 * Time: 15 minutes; 1 minute for "processes AdamW, --steps 12"
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { jsonLines, print, program, run, scratchFolder, settings } from '../../lib/clm.mjs';

const { values: options, positionals: wanted } = parseArgs({
  allowPositionals: true,
  options: { steps: { type: 'string', default: '50' } },
});
const mostSteps = Number(options.steps);
const scratch = scratchFolder('processes');

const words = ['whale', 'sea', 'ship', 'Ahab', 'deep', 'harpoon', 'white', 'café', '鯨'];
/** Sentences that never repeat, so that every micro-batch differs. @param {number} from @param {number} count */
const sentence = (from, count) =>
  Array.from({ length: count }, (_, i) => `${words[(i * i + 3 * i + from * 7) % words.length]}${from * 31 + i}`).join(
    ' ',
  );
const documents = Array.from({ length: 400 }, (_, i) => sentence(i, 3 + ((i * 5) % 40)));
/** @param {readonly object[]} rows */
const lines = (rows) => rows.map((row) => JSON.stringify(row)).join('\n');
const files = {
  'text.txt': documents.join('. '),
  'lines.jsonl': lines(documents.map((text) => ({ text }))),
  'pairs.jsonl': lines(
    documents.map((chosen, i) => ({ prompt: `${sentence(i, 2)}? `, chosen, rejected: sentence(i, 2 + (i % 7)) })),
  ),
  'answers.jsonl': lines(documents.map((completion, i) => ({ prompt: `${sentence(i, 2)}? `, completion }))),
};
for (const [name, text] of Object.entries(files)) writeFileSync(path.join(scratch, name), text);
const config = path.join(scratch, 'config.yaml');
writeFileSync(
  config,
  `corpus: { sources: [{ path: text.txt }], shuffleTokens: 4096, validation: { tail: 0.1 } }
tokenizer: { kind: bytes }
model: { layers: 2, heads: 2, width: 64, contextLength: 32, dropout: 0.1 }
training: { microBatchSize: 3, microBatchesPerStep: 4 }
optimizer: { learningRate: 3e-3, gradientClip: 0.5 }
schedule: { warmupSteps: 3 }
evaluation: { everySteps: 10 }
checkpoints: { everySteps: 5, keepLast: 2 }
samples: { everySteps: null, prompt: a }
`,
);
const answers = 'path: answers.jsonl, prompt: prompt, completion: completion';
const hash = { 'corpus.validation': '{ hash: 0.1 }' };
const lora = { 'start.from': path.join(scratch, 'base'), 'adapter.kind': 'lora', 'adapter.dropout': 0.1 };
const muon = { 'optimizer.kind': 'muon' };
const bfloat16 = { 'training.precision': 'bfloat16' };

/** @type {Record<string, Record<string, unknown>>} */
const cases = {
  'AdamW, dropout, accumulation': {},
  'Muon, bfloat16, a mixture': {
    ...{ ...muon, ...bfloat16, ...hash },
    'corpus.sources': `[{ path: lines.jsonl, weight: 2, finalWeight: 1 }, { ${answers}, weight: 1 }]`,
  },
  'AdamW, bfloat16, packed prompts with loss on answers only': {
    ...{ ...bfloat16, ...hash, 'corpus.packing': 'documents' },
    'corpus.sources': `[{ ${answers} }]`,
  },
  'Muon, llama, running mean, outliers, twelve micro-batches': {
    ...{ ...muon, 'model.family': 'llama', 'model.keyValueHeads': 1, 'training.emaDecay': 0.9 },
    ...{ 'training.microBatchesPerStep': 12, 'training.microBatchSize': 1 },
    'training.guard': '{ outlierDeviations: 0.7, windowSteps: 10, maxSkips: 99 }',
  },
  'branches of one micro-batch, recompute': {
    ...{ 'training.microBatchesPerStep': 1, 'training.microBatchSize': 9, 'training.branches': 4 },
    'training.recompute': 'block',
  },
  'an adapter with dropout': lora,
  'preference pairs, an adapter': {
    ...{ ...lora, ...hash, 'training.objective.kind': 'dpo' },
    'corpus.sources': '[{ path: pairs.jsonl, prompt: prompt, chosen: chosen, rejected: rejected }]',
  },
  'preference pairs, all weights, branches': {
    ...{ ...bfloat16, ...hash, 'start.from': path.join(scratch, 'base'), 'training.objective.kind': 'dpo' },
    'corpus.sources': '[{ path: pairs.jsonl, prompt: prompt, chosen: chosen, rejected: rejected }]',
    ...{ 'training.microBatchesPerStep': 2, 'training.microBatchSize': 4, 'training.branches': 2 },
  },
  'stages of micro-batches and context length': {
    'training.microBatchesPerStep': '[{ from: 0, value: 4 }, { from: 50%, value: 8 }]',
    'training.contextLength': '[{ from: 0, value: 8 }, { from: 30%, value: 32 }]',
  },
  // 75 million logits in each branch, twice those of a chunk
  'a loss in chunks, few steps': {
    ...{ 'model.vocabularySize': 600_000, 'model.width': 8, 'model.contextLength': 64, 'training.steps': 6 },
    ...{ 'training.microBatchesPerStep': 2, 'training.microBatchSize': 4, 'training.branches': 2 },
    ...{ 'corpus.validation': '{ tail: 0.01 }', 'checkpoints.everySteps': 1 },
  },
};

/** @param {string} folder @param {Record<string, unknown>} set @param {string[]} more */
const command = (folder, set, ...more) => [
  ...['train', config, '--run', folder, '--quiet'],
  ...settings({ 'training.steps': mostSteps, ...set }),
  ...more,
];
/** @param {string[]} args */
const clm = (...args) => run(process.execPath, [program, ...args], { cwd: scratch });

/** Kills all processes of a run at once, when it has made a checkpoint after the step. */
async function killedAfter(/** @type {string[]} */ args, /** @type {string} */ folder, /** @type {number} */ step) {
  const child = spawn(process.execPath, [program, ...args], { cwd: scratch, stdio: 'ignore', detached: true });
  const ended = new Promise((resolve) => child.on('exit', resolve));
  const newest = () =>
    existsSync(`${folder}/checkpoints`)
      ? Math.max(0, ...readdirSync(`${folder}/checkpoints`).map((name) => Number(/^step-(\d+)$/.exec(name)?.[1] ?? 0)))
      : 0;
  while (child.exitCode === null && newest() <= step) await new Promise((resolve) => setTimeout(resolve, 5));
  if (child.exitCode === null) process.kill(-(/** @type {number} */ (child.pid)), 'SIGKILL');
  await ended;
}

/** What is compared of a run, by name. @param {string} folder @param {number} steps */
function resultOf(folder, steps) {
  const checkpoint = `${folder}/checkpoints/step-${String(steps).padStart(8, '0')}`;
  const digest = (/** @type {string} */ file) =>
    createHash('sha256')
      .update(readFileSync(`${checkpoint}/${file}`))
      .digest('hex');
  const log = jsonLines(readFileSync(`${folder}/metrics.jsonl`, 'utf8'))
    .filter(({ kind }) => kind !== 'checkpoint')
    .map(({ tokensPerSecond: _, elapsedMs: __, ...record }) => record);
  const { step, cursor } = JSON.parse(readFileSync(`${checkpoint}/state.json`, 'utf8'));
  return {
    parameters: digest('model.safetensors'),
    optimizer: digest('optimizer.safetensors'),
    reference: existsSync(`${folder}/reference.jsonl`) ? readFileSync(`${folder}/reference.jsonl`, 'utf8') : '',
    position: JSON.stringify({ step, cursor }),
    log: JSON.stringify(log),
  };
}

let differing = 0;
for (const [name, set] of Object.entries(cases)) {
  if (wanted.length > 0 && !wanted.some((part) => name.includes(part))) continue;
  const steps = Number(set['training.steps'] ?? mostSteps);
  const [third, twoThirds] = [Math.floor(steps / 3), Math.floor((2 * steps) / 3)];
  const folderOf = (/** @type {string | number} */ kind) => path.join(scratch, `run-${kind}`);
  if ('start.from' in set && !existsSync(path.join(scratch, 'base')))
    clm(...command(path.join(scratch, 'base'), { 'model.dropout': 0 }, '--set', 'training.steps=3'));
  for (const processes of [1, 2, 4]) clm(...command(folderOf(processes), set, '--processes', String(processes)));
  const parts = folderOf('parts');
  clm(...command(parts, set, '--processes', '2', '--until', String(third)));
  clm(...command(parts, set, '--resume', '--until', String(twoThirds)));
  await killedAfter(command(parts, set, '--resume', '--processes', '4'), parts, twoThirds);
  clm(...command(parts, set, '--resume', '--processes', '2'));
  const expected = resultOf(folderOf(1), steps);
  const differences = [2, 4, 'parts'].flatMap((kind) => {
    const result = resultOf(folderOf(kind), steps);
    const parts = Object.keys(expected).filter((key) => Reflect.get(result, key) !== Reflect.get(expected, key));
    return parts.length > 0 ? `${kind}: ${parts.join(', ')}` : [];
  });
  if (differences.length > 0) differing++;
  print(`${name}: ${differences.length === 0 ? 'equal' : `DIFFERS (${differences.join('; ')})`}`);
  for (const kind of [1, 2, 4, 'parts']) rmSync(folderOf(kind), { recursive: true });
}
print(differing === 0 ? `all equal to the bit after ${mostSteps} steps` : `${differing} cases differ`);
process.exit(differing === 0 ? 0 : 1);
