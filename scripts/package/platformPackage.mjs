// The package of a platform: libtensorflow, compressed, with tfjs-node's binding and clm's kernels, and their licences.
// src/runtime/installation/unpack.ts reads it.

import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createHash } from 'node:crypto';
import { locateBinding } from '../setup/binding.mjs';
import { cacheFolder } from '../setup/cache.mjs';
import { compile } from '../setup/compiler.mjs';
import { SetupFailure, lastLines } from '../setup/failure.mjs';
import { fileBytes, readJson } from '../setup/files.mjs';
import { kernelArguments, locateKernels } from '../setup/kernels.mjs';
import { fetchWheel } from '../setup/libtensorflow/download.mjs';
import { installLibraries, librariesAreComplete, locateLibraries } from '../setup/libtensorflow/libraries.mjs';
import { noticesMember, tensorflowVersion } from '../setup/libtensorflow/wheels.mjs';
import { runProgram } from '../setup/process.mjs';
import { compressed } from './compression.mjs';
import { packageName, platforms } from './platforms.mjs';
import { refuseNewSymbols } from './symbols.mjs';

/**
 * @typedef {object} PlatformFiles
 * @property {import('./compression.mjs').CompressedFile[]} libraries
 * @property {string} binding
 * @property {string} kernels
 * @property {string} notices the licences of what libtensorflow is made of
 */

/**
 * libtensorflow of a platform, with the binding and the kernels compiled for it; what the cache folder lacks is fetched
 * and compiled.
 * @param {string} root
 * @param {string} name of the platform
 * @param {import('../setup/progress.mjs').Progress} progress
 */
export async function compileFor(root, name, progress) {
  const platform = platforms[name];
  const libraries = locateLibraries(root, cacheFolder(), platform, 'cpu');
  if (!librariesAreComplete(libraries)) await installLibraries(libraries, progress);
  /** @type {[string] | undefined} */
  const compiler = platform.tools === '' ? undefined : [`${platform.tools}g++`];
  const [binding, kernels] = [locateBinding(root, libraries), locateKernels(root, libraries)];
  for (const [file, flags, what] of /** @type {const} */ ([
    [binding.file, binding.flags, 'the binding of tfjs-node'],
    [kernels.file, kernelArguments(kernels), "clm's kernels"],
  ]))
    if (fileBytes(file) === undefined) await compile(file, [...flags], what, progress, compiler);
  return { libraries, binding: binding.file, kernels: kernels.file };
}

/**
 * The files of a platform's package; what the cache folder lacks of them is fetched, compiled and compressed.
 * @param {string} root
 * @param {string} name of the platform
 * @param {import('../setup/progress.mjs').Progress} progress
 * @returns {Promise<PlatformFiles>}
 */
export async function makeFiles(root, name, progress) {
  const platform = platforms[name];
  const { libraries, binding, kernels } = await compileFor(root, name, progress);
  const packed = path.join(libraries.folder, 'packed');
  mkdirSync(packed, { recursive: true });
  const stripped = [binding, kernels].map((file) => path.join(packed, path.basename(file)));
  await stripTo(stripped[0], binding, platform);
  await stripTo(stripped[1], kernels, platform);
  const compressedLibraries = [];
  for (const library of libraries.set.libraries) {
    const source = path.join(libraries.libraryDirectory, library);
    await refuseNewSymbols(source, platform);
    compressedLibraries.push(await compressed(source, packed, progress, (target) => stripTo(target, source, platform)));
  }
  for (const file of stripped) await refuseNewSymbols(file, platform);
  const notices = path.join(packed, 'site', noticesMember);
  if (!existsSync(notices)) {
    const [requirement] = libraries.requirements;
    progress.longStep(`Fetching ${requirement.name} again for its licences.`);
    const wheel = { ...libraries.set, members: [noticesMember] };
    await fetchWheel(requirement, wheel, path.join(packed, 'download'), path.join(packed, 'site'), () => {});
  }
  return { libraries: compressedLibraries, binding: stripped[0], kernels: stripped[1], notices };
}

/**
 * A copy without what only debuggers read. It has the same bytes wherever it was compiled.
 * @param {string} target
 * @param {string} source
 * @param {import('./platforms.mjs').Platform} platform
 */
async function stripTo(target, source, { tools }) {
  const { status, output } = await runProgram(`${tools}strip`, ['-o', target, source]);
  if (status !== 0)
    throw new SetupFailure(`${tools}strip (of the package binutils) failed on ${source}:\n${lastLines(output)}`);
}

/**
 * @param {string} root
 * @param {string} stage folder to fill
 * @param {string} name of the platform
 * @param {PlatformFiles} files
 */
export function stagePlatform(root, stage, name, { libraries, binding, kernels, notices }) {
  mkdirSync(stage, { recursive: true });
  const { version, license, engines } = readJson(path.join(root, 'package.json'));
  const { platform, arch } = platforms[name];
  const identity = createHash('sha256').update(libraries.map(({ sha256 }) => sha256).join());
  const folder = `libtensorflow-${tensorflowVersion}-${name}-${identity.digest('hex').slice(0, 12)}`;
  const manifest = {
    ...{ tensorflowVersion, folder },
    libraries: libraries.map(({ file, ...library }) => library),
    ...{ binding: described(binding), kernels: described(kernels) },
  };
  const packageJson = {
    ...{ name: packageName(name), version, description: `TensorFlow and native code of clm for ${name}.` },
    ...{ license: `${license} AND Apache-2.0 AND MPL-2.0`, os: [platform], cpu: [arch] },
    ...(platform === 'linux' && { libc: ['glibc'] }),
    // Yarn must not leave it in an archive: libraries are loaded from files.
    ...{ engines, preferUnplugged: true },
  };
  const write = (/** @type {string} */ file, /** @type {string} */ text) => writeFileSync(path.join(stage, file), text);
  const writeJson = (/** @type {string} */ file, /** @type {object} */ value) =>
    write(file, `${JSON.stringify(value, undefined, 2)}\n`);
  writeJson('package.json', packageJson);
  writeJson('manifest.json', manifest);
  write('README.md', readMe(name));
  for (const { name: library, file } of libraries)
    if (file !== undefined) copyFileSync(file, path.join(stage, `${library}.br`));
  for (const file of [binding, kernels]) copyFileSync(file, path.join(stage, path.basename(file)));
  copyFileSync(path.join(root, 'LICENSE'), path.join(stage, 'LICENSE'));
  copyFileSync(path.join(import.meta.dirname, 'Apache-2.0.txt'), path.join(stage, 'LICENSE-tensorflow'));
  copyFileSync(notices, path.join(stage, 'THIRD_PARTY_NOTICES.txt'));
}

/** @param {string} file */
function described(file) {
  const content = readFileSync(file);
  const sha256 = createHash('sha256').update(content).digest('hex');
  return { name: path.basename(file), bytes: content.length, sha256 };
}

const readMe = (/** @type {string} */ name) => `# ${packageName(name)}

Part of clm for ${name}: npm installs it with the package \`clm\`. It has no install script.

- \`libtensorflow*.br\`: the libraries of TensorFlow ${tensorflowVersion}, as in the wheel on PyPI, without symbols for
  debuggers and compressed. Apache License 2.0 (LICENSE-tensorflow). Its sources are at
  https://github.com/tensorflow/tensorflow; THIRD_PARTY_NOTICES.txt has the licences of what it includes (that of
  Eigen is MPL-2.0, with its sources at https://gitlab.com/libeigen/eigen).
- \`tfjs-binding-*.node\`: the binding of @tensorflow/tfjs-node-gpu, Copyright Google LLC, Apache License 2.0, compiled
  from its sources for this version of TensorFlow.
- \`clm-kernels-*\`: clm's own kernels, MIT licence (LICENSE).
`;
