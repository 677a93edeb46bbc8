// Sets clm up: packages, libtensorflow, the binding of tfjs-node, clm's kernels, the TypeScript build. Plain Node
// without packages, because it runs before there are any. `npm start` and `npm test` run it; it does nothing, quickly,
// if everything is installed.

import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { installBinding, locateBinding } from './setup/binding.mjs';
import { build, buildIsCurrent } from './setup/build.mjs';
import { cacheFolder, cloneFolder, makeCacheFolder } from './setup/cache.mjs';
import { compilerCommand } from './setup/compiler.mjs';
import { chooseDevice, findNvidiaDriver } from './setup/device.mjs';
import { exitCodes, explained, SetupFailure } from './setup/failure.mjs';
import { fileHash } from './setup/files.mjs';
import { installationIsComplete, keepRequest, keptRequest, recordInstallation } from './setup/installation.mjs';
import { installKernels, locateKernels } from './setup/kernels.mjs';
import { installLibraries, librariesAreComplete, locateLibraries } from './setup/libtensorflow/libraries.mjs';
import { unpackedLibraries } from './setup/libtensorflow/unpacked.mjs';
import { withLock } from './setup/lock.mjs';
import { installPackages, packagesAreInstalled } from './setup/packages.mjs';
import { machineFacts, requireSupportedMachine } from './setup/platform.mjs';
import { passSignalsOn } from './setup/process.mjs';
import { progressOn } from './setup/progress.mjs';

const usage = `Usage: node scripts/setup.mjs [--device auto|cpu|cuda] [--quiet]

  --device  which TensorFlow to install (or set CLM_DEVICE); later set-ups of this clone keep it.
            Default and "auto": CUDA if an NVIDIA driver is found, otherwise CPU.
  --quiet   print nothing unless there is a long download or a failure`;

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/** @param {string[]} argumentList */
async function setUp(argumentList) {
  const options = parseOptions(argumentList);
  if (options.help) {
    console.log(usage);
    return;
  }
  const machine = machineFacts();
  requireSupportedMachine(machine);
  const cache = cacheFolder();
  const clone = cloneFolder(cache, root);
  const kept = keptRequest(clone);
  const choice = chooseDevice({
    ...{ platform: machine.platform, arch: machine.arch, option: options.device, environment: process.env.CLM_DEVICE },
    ...{ kept, findDriver: findNvidiaDriver },
  });
  const tensorflowIsInstalled = () => {
    const { libraries, ...compiled } = locateParts(cache, machine, choice.device);
    return installationIsComplete(root, choice, libraries, compiled);
  };
  const requestIsKept = () => JSON.stringify(kept) === JSON.stringify(choice.request);

  const progress = progressOn(options.quiet ?? false);
  if (packagesAreInstalled(root) && tensorflowIsInstalled() && buildIsCurrent(root) && requestIsKept()) {
    progress.step(`Everything is installed, TensorFlow for ${describe(choice)}.`);
    return;
  }
  makeCacheFolder(clone);
  await withLock(path.join(clone, 'lock'), progress, async () => {
    if (!packagesAreInstalled(root)) {
      progress.longStep('Installing the packages of package-lock.json (npm ci).');
      await installPackages(root);
    }
    if (!tensorflowIsInstalled()) {
      progress.step(`TensorFlow for ${describe(choice)}.`);
      const { libraries, binding, kernels, isUnpacked } = locateParts(cache, machine, choice.device);
      if (!isUnpacked) compilerCommand(); // if there is none, that is said before the download
      if (!librariesAreComplete(libraries)) await installLibraries(libraries, progress);
      const bindingSha256 = await installBinding(binding, progress);
      const kernelsSha256 = isUnpacked ? fileHash(kernels.file) : await installKernels(kernels, progress);
      recordInstallation(root, choice, libraries, { binding, bindingSha256, kernels, kernelsSha256 });
    }
    if (!requestIsKept()) keepRequest(clone, choice.request);
    if (!buildIsCurrent(root)) {
      progress.step('Building dist from the TypeScript sources.');
      await build(root);
    }
  });
  progress.step('Done.');
}

/**
 * The libraries and what is compiled against them: those of the set-up, or as an npm package of clm has unpacked them.
 * @param {string} cache
 * @param {import('./setup/platform.mjs').MachineFacts} machine
 * @param {import('./setup/device.mjs').Device} device
 */
function locateParts(cache, machine, device) {
  const libraries = locateLibraries(root, cache, machine, device);
  const [binding, kernels] = [locateBinding(root, libraries), locateKernels(root, libraries)];
  const parts = { libraries, binding, kernels, isUnpacked: false };
  if (librariesAreComplete(libraries)) return parts;
  const files = [binding.file, kernels.file].map((file) => path.basename(file));
  const unpacked = unpackedLibraries(cache, libraries, files);
  if (unpacked === undefined) return parts;
  const [bindingFile, kernelsFile] = files.map((file) => path.join(unpacked.libraryDirectory, file));
  return {
    libraries: unpacked,
    binding: { ...binding, file: bindingFile },
    kernels: { ...kernels, file: kernelsFile },
    isUnpacked: true,
  };
}

/** @param {string[]} argumentList */
function parseOptions(argumentList) {
  const device = /** @type {const} */ ({ type: 'string' });
  const flag = /** @type {const} */ ({ type: 'boolean' });
  try {
    return parseArgs({ args: argumentList, options: { device, quiet: flag, help: flag } }).values;
  } catch (error) {
    throw new SetupFailure(`${/** @type {Error} */ (error).message}\n\n${usage}`, exitCodes.wrongUsage);
  }
}

const describe = (/** @type {import('./setup/device.mjs').DeviceChoice} */ { device, why }) =>
  `${device === 'cuda' ? 'CUDA' : 'the CPU'}: ${why}`;

passSignalsOn();
try {
  await setUp(process.argv.slice(2));
} catch (error) {
  const failure = explained(error);
  if (!(failure instanceof SetupFailure)) throw failure;
  console.error(`clm set-up: ${failure.message}`);
  process.exitCode = failure.exitCode;
}
