/**
 * Holds the memory that `clm plan` predicts against the peak of a run that trains four steps and saves after each.
 *
 *   npm run check -- plan [NAME …]     a Markdown table; exit code 1 where one is more than 15 % off
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const program = new URL('../../../dist/cli/main.js', import.meta.url).pathname;
const base = new URL('../../../configs/moby-dick.yaml', import.meta.url).pathname;
const wide = {
  'model.layers': 6,
  'model.heads': 6,
  'model.width': 384,
  'model.contextLength': 256,
  'training.microBatchSize': 8,
};
const configs = {
  'moby-dick': {},
  'L6 C384 T256 B8': wide,
  'the same, recompute': { ...wide, 'training.recompute': 'block' },
  'L8 C512 T128 B4, muon, emaDecay': {
    'model.layers': 8,
    'model.heads': 8,
    'model.width': 512,
    'model.contextLength': 128,
    'training.microBatchSize': 4,
    'optimizer.kind': 'muon',
    'training.emaDecay': 0.99,
  },
  'GPT-2 with 2 layers, T 512 B1, two micro-batches': {
    'model.layers': 2,
    'model.heads': 12,
    'model.width': 768,
    'model.contextLength': 512,
    'model.biases': true,
    'model.vocabularySize': 50_257,
    'training.microBatchSize': 1,
    'training.branches': 1,
    'training.microBatchesPerStep': 2,
  },
  'llama L8 C320 T256 B6, dropout, 2 micro-batches': {
    'model.family': 'llama',
    'model.layers': 8,
    'model.heads': 8,
    'model.keyValueHeads': 2,
    'model.width': 320,
    'model.contextLength': 256,
    'model.dropout': 0.1,
    'training.microBatchSize': 6,
    'training.microBatchesPerStep': 2,
  },
};
const short = {
  'training.steps': 4,
  'checkpoints.everySteps': 1,
  'corpus.validation.tail': 0.002,
  'samples.everySteps': null,
  'evaluation.everySteps': null,
};

const wanted = process.argv.slice(2);
let isOff = false;
console.log('| config | planned MB | measured MB | planned/measured |\n|---|---|---|---|');
for (const [name, keys] of Object.entries(configs)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const set = Object.entries({ ...short, ...keys }).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
  const plan = spawnSync(process.execPath, [program, 'plan', base, '--json', ...set], { encoding: 'utf8' });
  if (plan.status !== 0) throw new Error(plan.stderr);
  const { bytes } = JSON.parse(plan.stdout);
  const measured = await peakBytes(set);
  const ratio = bytes.total / measured;
  isOff ||= Math.abs(ratio - 1) > 0.15;
  console.log(`| ${name} | ${Math.round(bytes.total / 1e6)} | ${Math.round(measured / 1e6)} | ${ratio.toFixed(2)} |`);
}
process.exitCode = isOff ? 1 : 0;

/** The most memory a training process ever held, by the kernel's own mark (Linux). */
async function peakBytes(set) {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'clm-plan-'));
  const child = spawn(
    process.execPath,
    [program, 'train', base, '--quiet', '--run', path.join(folder, 'run'), ...set],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  let peak = 0;
  const timer = setInterval(() => {
    try {
      const mark = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'));
      if (mark) peak = Math.max(peak, Number(mark[1]) * 1024);
    } catch {
      // it has just ended
    }
  }, 10);
  const code = await new Promise((resolve) => child.on('exit', resolve));
  clearInterval(timer);
  rmSync(folder, { recursive: true, force: true });
  if (code !== 0) throw new Error(`training ended with exit code ${code}`);
  return peak;
}
