// Step 3: tfjs-node's binding, compiled from the two C++ files of its npm package against the wheel's libtensorflow and
// kept beside it. src/runtime loads it from there.

import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { compile, linkFlags, oldLinux, withoutPaths } from './compiler.mjs';
import { SetupFailure, lastLines } from './failure.mjs';
import { fileBytes, hashOf } from './files.mjs';
import { runProgram } from './process.mjs';

const tfjsFolder = 'node_modules/@tensorflow/tfjs-node-gpu';
const sources = ['binding/tfjs_backend.cc', 'binding/tfjs_binding.cc'];
/** Node has had this version of Node-API since 12.22. */
const napiVersion = 8;

/**
 * @typedef {object} Binding
 * @property {string} file the compiled binding, in the cache
 * @property {string[]} flags of the compiler, without the output
 */

/**
 * @param {string} root project folder, its packages installed
 * @param {import('./libtensorflow/libraries.mjs').Libraries} libraries
 * @returns {Binding}
 */
export function locateBinding(root, libraries) {
  const tfjs = path.join(root, tfjsFolder);
  const nodeHeaders = path.join(root, 'node_modules/node-api-headers');
  const flags = compilerFlags(root, tfjs, path.join(nodeHeaders, 'include'), libraries);
  const versions = [tfjs, nodeHeaders].map((folder) => readFileSync(path.join(folder, 'package.json'), 'utf8'));
  const shared = [...withoutPaths(flags, root, libraries), readFileSync(path.join(root, oldLinux))];
  const key = hashOf(...versions.map((text) => JSON.parse(text).version), libraries.set.name, ...shared).slice(0, 16);
  return { file: path.join(libraries.libraryDirectory, `tfjs-binding-${key}.node`), flags };
}

/**
 * @param {string} root
 * @param {string} tfjs folder of tfjs-node-gpu
 * @param {string} nodeHeaders
 * @param {import('./libtensorflow/libraries.mjs').Libraries} libraries
 */
function compilerFlags(root, tfjs, nodeHeaders, libraries) {
  return [
    ...['-O2', '-std=c++17', '-fPIC', '-shared', `-DNAPI_VERSION=${napiVersion}`, '-DBUILDING_NODE_EXTENSION'],
    ...['-include', path.join(root, oldLinux), '-I', nodeHeaders, '-I', libraries.includeDirectory],
    ...['-I', path.dirname(tfjs), ...sources.map((source) => path.join(tfjs, source))],
    ...linkFlags(libraries),
    // Node's own functions are found when it loads the binding.
    ...(libraries.set.name.startsWith('darwin') ? ['-undefined', 'dynamic_lookup'] : []),
  ];
}

/**
 * Compiles the binding unless the cache has it, and tries whether it loads.
 * @param {Binding} binding
 * @param {import('./progress.mjs').Progress} progress
 * @returns {Promise<string>} its SHA-256
 * @throws SetupFailure
 */
export async function installBinding({ file, flags }, progress) {
  const wasCached = fileBytes(file) !== undefined;
  if (!wasCached) await compile(file, flags, 'the binding of tfjs-node', progress);
  progress.step('Checking that TensorFlow loads.');
  const problem = await loadProblem(file);
  if (problem !== undefined && wasCached) {
    // Compiled on another machine that shares this cache, or cut off by a crash of the machine.
    await compile(file, flags, 'the binding of tfjs-node', progress);
  }
  const remaining = problem !== undefined && wasCached ? await loadProblem(file) : problem;
  if (remaining !== undefined) {
    rmSync(file, { force: true });
    throw loadFailure(remaining);
  }
  return hashOf(readFileSync(file));
}

/**
 * Loads the binding in a process of its own; undefined when that works, else what happened.
 * @param {string} file
 */
async function loadProblem(file) {
  const script = 'process.dlopen({ exports: {} }, process.argv[1], require("os").constants.dlopen.RTLD_NOW)';
  const env = { ...process.env, TF_CPP_MIN_LOG_LEVEL: '3', CUDA_VISIBLE_DEVICES: '' };
  const { status, signal, output } = await runProgram(process.execPath, ['-e', script, file], { env });
  return status === 0 ? undefined : { signal, output };
}

function loadFailure(/** @type {{ signal: string | null, output: string }} */ { signal, output }) {
  if (signal === 'SIGILL') {
    return new SetupFailure('TensorFlow does not run on this processor: on x86-64 it needs one with AVX.');
  }
  const reason = /Error: (.*)/.exec(output)?.[1] ?? (signal === null ? lastLines(output) : `it was ended by ${signal}`);
  return new SetupFailure(
    `TensorFlow was downloaded but does not load: ${reason}\nIs the system's C++ library (libstdc++) up to date? ` +
      'After a change, run "npm run setup" again.',
  );
}
