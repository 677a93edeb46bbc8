// `clm doctor` in a clone that is not set up: what the set-up needs and has done, and what is missing. Plain Node
// without packages, because there may be none. Once dist is built, src/cli/commands/setup/doctor.ts answers instead.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolder, cloneFolder } from './cache.mjs';
import { compilerCommand } from './compiler.mjs';
import { chooseDevice, findNvidiaDriver } from './device.mjs';
import { exitCodes, SetupFailure } from './failure.mjs';
import { keptRequest } from './installation.mjs';
import { librariesAreComplete, locateLibraries } from './libtensorflow/libraries.mjs';
import { requirePython } from './libtensorflow/python.mjs';
import { packagesAreInstalled } from './packages.mjs';
import { machineFacts, requireSupportedMachine } from './platform.mjs';

/** As `clm doctor --json` prints it later. @typedef {{ what: string, found: string, ok: boolean }} Finding */

const clone = path.dirname(path.dirname(path.dirname(fileURLToPath(import.meta.url))));

/**
 * What `clm` prints before the set-up.
 * @param {string[]} argumentList
 * @returns {number} the exit code
 */
export function beforeSetUp(argumentList) {
  const remedy = `Run "npm run setup" in ${clone}. It installs what is missing.`;
  if (argumentList.find((word) => !word.startsWith('-')) !== 'doctor') {
    console.error(`error: clm is not set up yet. ${remedy}\n"clm doctor" lists what is missing.`);
    return exitCodes.environment;
  }
  const findings = findingsIn(clone);
  if (argumentList.includes('--json')) console.log(JSON.stringify({ ok: false, findings }));
  else {
    for (const { what, found, ok } of findings) console.log(`${ok ? 'ok ' : '!! '} ${what.padEnd(14)} ${found}`);
    console.log(remedy);
  }
  return exitCodes.environment;
}

/**
 * @param {string} root the clone
 * @returns {Finding[]} in the order in which the set-up needs them
 */
export function findingsIn(root) {
  return [
    finding('machine', () => {
      const machine = machineFacts();
      requireSupportedMachine(machine);
      return `Node ${machine.nodeVersion} on ${machine.platform} ${machine.arch}`;
    }),
    finding('python3', () => {
      const python = requirePython();
      const { status, stdout } = spawnSync(python, ['-m', 'pip', '--version'], { encoding: 'utf8' });
      if (status === 0) return `${python}, ${stdout.split(' ').slice(0, 2).join(' ')}`;
      throw new SetupFailure(`${python} has no pip: install it (Debian, Ubuntu: apt install python3-pip)`);
    }),
    finding('C++ compiler', () => compilerCommand()[0]),
    finding('packages', () => {
      if (packagesAreInstalled(root)) return 'those of package-lock.json';
      throw new SetupFailure('not installed, or not those of package-lock.json');
    }),
    finding('libtensorflow', () => {
      const cache = cacheFolder();
      const [kept, environment] = [keptRequest(cloneFolder(cache, root)), process.env.CLM_DEVICE];
      const { platform, arch } = process;
      const { device, why } = chooseDevice({ platform, arch, environment, kept, findDriver: findNvidiaDriver });
      const libraries = locateLibraries(root, cache, process, device);
      if (librariesAreComplete(libraries)) return libraries.folder;
      const bytes = libraries.requirements.reduce((sum, requirement) => sum + requirement.bytes, 0);
      throw new SetupFailure(`not downloaded yet: ${Math.round(bytes / 1e6)} MB for ${device} (${why})`);
    }),
    finding('dist', () => {
      if (existsSync(path.join(root, 'dist/cli/main.js'))) return 'built from src';
      throw new SetupFailure('not built from src yet');
    }),
  ];
}

/**
 * @param {string} what
 * @param {() => string} look throws SetupFailure if it is missing
 * @returns {Finding}
 */
function finding(what, look) {
  try {
    return { what, found: look(), ok: true };
  } catch (error) {
    if (!(error instanceof SetupFailure)) throw error;
    return { what, found: error.message, ok: false };
  }
}
