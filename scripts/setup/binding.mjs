// Step 3: tfjs-node's binding, compiled from the two C++ files of its npm package against the wheel's libtensorflow,
// kept beside the libraries and copied to where tfjs-node looks for it.

import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { compile } from './compiler.mjs';
import { SetupFailure, lastLines } from './failure.mjs';
import { fileBytes, hashOf, writeWhole } from './files.mjs';
import { runProgram } from './process.mjs';

const tfjsFolder = 'node_modules/@tensorflow/tfjs-node-gpu';
const sources = ['binding/tfjs_backend.cc', 'binding/tfjs_binding.cc'];
/** The package lists Node-API versions up to 8, and Node has had 8 since 12.22: so that is the folder it looks in. */
const napiVersion = 8;

/**
 * @typedef {object} Binding
 * @property {string} cached the compiled binding in the cache
 * @property {string} installed where tfjs-node loads it from
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
  const flags = compilerFlags(tfjs, path.join(nodeHeaders, 'include'), libraries, process.platform);
  // The flags hold paths of this clone; what differs between clones and must not split the cache is named relatively.
  const shared = flags.map((flag) => flag.replaceAll(root, '.'));
  const versions = [tfjs, nodeHeaders].map((folder) => readFileSync(path.join(folder, 'package.json'), 'utf8'));
  const key = hashOf(...versions.map((text) => JSON.parse(text).version), process.arch, ...shared).slice(0, 16);
  return {
    cached: path.join(libraries.folder, 'bindings', `${key}.node`),
    installed: path.join(tfjs, `lib/napi-v${napiVersion}/tfjs_binding.node`),
    flags,
  };
}

/**
 * @param {string} tfjs folder of tfjs-node-gpu
 * @param {string} nodeHeaders
 * @param {{ set: { libraries: string[] }, includeDirectory: string, libraryDirectory: string }} libraries
 * @param {string} platform
 */
export function compilerFlags(tfjs, nodeHeaders, { set, includeDirectory, libraryDirectory }, platform) {
  return [
    ...['-O2', '-std=c++17', '-fPIC', '-shared', `-DNAPI_VERSION=${napiVersion}`, '-DBUILDING_NODE_EXTENSION'],
    ...['-I', nodeHeaders, '-I', includeDirectory, '-I', path.dirname(tfjs)],
    ...sources.map((source) => path.join(tfjs, source)),
    // The library finds CUDA relative to the path it was loaded by: it must be loaded from its own folder, by no link.
    ...set.libraries.map((library) => path.join(libraryDirectory, library)),
    ...['-Xlinker', '-rpath', '-Xlinker', libraryDirectory],
    // Node's own functions are found when it loads the binding.
    ...(platform === 'darwin' ? ['-undefined', 'dynamic_lookup'] : []),
  ];
}

/** SHA-256 of the binding that tfjs-node will load, undefined where there is none. */
export function installedBindingHash(/** @type {Binding} */ { installed }) {
  return fileBytes(installed) === undefined ? undefined : hashOf(readFileSync(installed));
}

/**
 * Compiles the binding unless the cache has it, tries whether it loads, and puts it where tfjs-node looks.
 * @param {Binding} binding
 * @param {import('./progress.mjs').Progress} progress
 * @returns {Promise<string>} its SHA-256
 * @throws SetupFailure
 */
export async function installBinding(binding, progress) {
  const { cached } = binding;
  const wasCached = fileBytes(cached) !== undefined;
  if (!wasCached) await compile(cached, binding.flags, 'the binding of tfjs-node', progress);
  progress.step('Checking that TensorFlow loads.');
  const problem = await loadProblem(cached);
  if (problem !== undefined && wasCached) {
    // Compiled on another machine that shares this cache, or cut off by a crash of the machine.
    await compile(cached, binding.flags, 'the binding of tfjs-node', progress);
  }
  const remaining = problem !== undefined && wasCached ? await loadProblem(cached) : problem;
  if (remaining !== undefined) {
    rmSync(cached, { force: true });
    throw loadFailure(remaining);
  }
  const content = readFileSync(cached);
  mkdirSync(path.dirname(binding.installed), { recursive: true });
  writeWhole(binding.installed, content, 0o755);
  return hashOf(content);
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
