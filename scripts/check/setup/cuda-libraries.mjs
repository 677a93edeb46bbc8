/**
 * Checks on a machine without a GPU that the CUDA variant of the set-up is complete.
 *
 *   npm run check -- cuda-libraries [CACHE_FOLDER]
 *
 * Sets up CUDA in a copy of the project, finds every CUDA library where libtensorflow looks for it, loads it with all
 * it needs, and lets TensorFlow compute on the CPU; LD_LIBRARY_PATH is not set. Downloads 3.4 GB and needs 6 GB of
 * disk; with CACHE_FOLDER they stay there, else everything is removed at the end. Linux x86-64 with readelf
 * (binutils).
 *
 * Time: 5 minutes, mostly the download
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { root } from '../../lib/clm.mjs';
import { computation, product } from '../../lib/computation.mjs';

/** What TensorFlow 2.21 opens by name when it uses a GPU, and what these open in turn. */
const cudaLibraries = [
  ...['libcudart.so.12', 'libcublas.so.12', 'libcublasLt.so.12', 'libcufft.so.11', 'libcusolver.so.11'],
  ...['libcusparse.so.12', 'libcudnn.so.9', 'libnccl.so.2', 'libcupti.so.12'],
];
/** Beside those: used by the libraries above, which find them by themselves. */
const neededInTurn = [
  'cuda_nvrtc/lib/libnvrtc.so.12',
  'nvjitlink/lib/libnvJitLink.so.12',
  'curand/lib/libcurand.so.10',
];

const scratch = mkdtempSync(path.join(os.tmpdir(), 'clm-cuda-'));
const clone = path.join(scratch, 'clone');
const cache = path.resolve(process.argv[2] ?? path.join(scratch, 'cache'));
const { LD_LIBRARY_PATH: _, ...environment } = process.env;
const env = { ...environment, XDG_CACHE_HOME: cache, TF_CPP_MIN_LOG_LEVEL: '0' };
let failures = 0;

const loadScript = `
const koffi = require('koffi');
for (const file of process.argv.slice(1)) koffi.load(file);
const maps = require('fs').readFileSync('/proc/self/maps', 'utf8');
console.log(JSON.stringify([...new Set(maps.match(/\\/.*\\.so.*/g))]));
`;

try {
  for (const part of ['scripts', 'src', 'native', 'package.json', 'package-lock.json', 'tsconfig.json', '.npmrc']) {
    cpSync(path.join(root, part), path.join(clone, part), { recursive: true });
  }
  const setUp = spawnSync(process.execPath, ['scripts/setup.mjs', '--device', 'cuda'], {
    cwd: clone,
    env,
    stdio: 'inherit',
  });
  if (setUp.status !== 0) throw new Error(`the set-up for CUDA failed (${setUp.status})`);
  check();
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
console.log(failures === 0 ? 'All passed.' : `${failures} failed.`);
process.exitCode = failures === 0 ? 0 : 1;

function check() {
  const installation = JSON.parse(readFileSync(path.join(clone, 'node_modules/.clm-installation.json'), 'utf8'));
  report('the installation is for CUDA', installation.device === 'cuda', installation.device);
  const { libraryDirectory } = installation;
  const siteDirectory = path.dirname(libraryDirectory);
  const folders = searchedFolders(libraryDirectory);
  const found = cudaLibraries.map((library) => folders.map((folder) => path.join(folder, library)).find(existsSync));
  cudaLibraries.forEach((library, i) => {
    report(`libtensorflow finds ${library}`, found[i]?.startsWith(siteDirectory) ?? false, found[i] ?? 'not found');
  });
  const nvidia = path.join(siteDirectory, 'nvidia');
  for (const file of neededInTurn) report(`${file} is there`, existsSync(path.join(nvidia, file)), nvidia);

  const files = found.filter((file) => file !== undefined).concat(neededInTurn.map((file) => path.join(nvidia, file)));
  const loading = run(process.execPath, ['-e', loadScript, ...files]);
  report('all load, with what they need', loading.status === 0, loading.stderr);
  if (loading.status === 0) {
    const mapped = /** @type {string[]} */ (JSON.parse(loading.stdout));
    const foreign = mapped.filter((file) => /lib(cu|nccl|nv)/.test(file) && !file.startsWith(siteDirectory));
    const own = mapped.filter((file) => file.startsWith(siteDirectory));
    report('none comes from elsewhere', foreign.length === 0 && own.length >= files.length, foreign.join(' '));
  }
  const ptxas = run(path.join(nvidia, 'cuda_nvcc/bin/ptxas'), ['--version']);
  report('ptxas runs', ptxas.status === 0, String(ptxas.error ?? ptxas.stderr));
  report('libdevice is there', existsSync(path.join(nvidia, 'cuda_nvcc/nvvm/libdevice/libdevice.10.bc')), nvidia);
  const computing = run(process.execPath, ['-e', computation]);
  report('TensorFlow computes', computing.stdout.includes(product), computing.stderr);
  const cuda = computing.stderr.split('\n').filter((line) => /cuInit|dlerror|Cannot dlopen/.test(line));
  console.log(`What TensorFlow says of CUDA:\n${cuda.map((line) => `  ${line}`).join('\n') || '  nothing'}`);
}

/** The folders that libtensorflow's two libraries name for what they open, $ORIGIN being their own. */
function searchedFolders(/** @type {string} */ libraryDirectory) {
  const libraries = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'];
  return libraries.flatMap((library) => {
    const { stdout } = run('readelf', ['-d', path.join(libraryDirectory, library)]);
    const folders = /RUNPATH.*\[(.*)\]/.exec(stdout)?.[1]?.split(':') ?? [];
    return folders.map((folder) => path.normalize(folder.replace('$ORIGIN', libraryDirectory)));
  });
}

function run(/** @type {string} */ command, /** @type {string[]} */ argumentList) {
  return spawnSync(command, argumentList, { cwd: clone, env, encoding: 'utf8' });
}

function report(/** @type {string} */ what, /** @type {boolean} */ passed, /** @type {string} */ detail) {
  console.log(`${passed ? 'ok    ' : 'FAILED'} ${what}${passed ? '' : `: ${detail}`}`);
  if (!passed) failures++;
}
