// First step of the set-up: is this a machine and a Node that clm can run on at all?

import { SetupFailure } from './failure.mjs';

/** Oldest Node that the set-up and clm support. */
export const minimumNode = [20, 19];
/** The wheels are built for glibc 2.27 (tag manylinux_2_27). */
const minimumGlibc = [2, 27];
const supported = new Set(['linux-x64', 'linux-arm64', 'darwin-arm64']);

/**
 * What the set-up has to know of the machine.
 * @typedef {{ platform: string, arch: string, nodeVersion: string, glibcVersion: string | undefined }} MachineFacts
 */

/** @returns {MachineFacts} */
export function machineFacts() {
  const { platform, arch } = process;
  return {
    platform,
    arch,
    nodeVersion: process.versions.node,
    glibcVersion: platform === 'linux' ? glibc() : undefined,
  };
}

/** Version of the C library of this process; undefined where it is not glibc (Alpine's musl). */
function glibc() {
  // Without this, the report looks up the names of all network peers.
  /** @type {{ excludeNetwork?: boolean }} */ (process.report).excludeNetwork = true;
  const report = /** @type {{ header: { glibcVersionRuntime?: string } }} */ (process.report.getReport());
  return report.header.glibcVersionRuntime;
}

/**
 * Refuses machines that clm cannot run on.
 * @param {MachineFacts} facts
 * @throws SetupFailure naming the remedy
 */
export function requireSupportedMachine({ platform, arch, nodeVersion, glibcVersion }) {
  if (isOlder(nodeVersion, minimumNode)) {
    throw new SetupFailure(
      `clm needs Node ${minimumNode.join('.')} or newer, this is ${nodeVersion}: ` +
        'install a newer one (https://nodejs.org).',
    );
  }
  if (platform === 'win32') {
    throw new SetupFailure(
      'clm does not run on Windows itself, but in its Linux: install WSL2 (wsl --install) and run clm there.',
    );
  }
  if (!supported.has(`${platform}-${arch}`)) {
    throw new SetupFailure(
      `There is no TensorFlow for ${platform} on ${arch}: use Linux on x86-64 or arm64, or macOS on Apple silicon ` +
        '(there with a Node built for arm64).',
    );
  }
  if (platform === 'linux' && (glibcVersion === undefined || isOlder(glibcVersion, minimumGlibc))) {
    throw new SetupFailure(
      `TensorFlow needs glibc ${minimumGlibc.join('.')} or newer, this system has ` +
        `${glibcVersion ?? 'another C library'}: use a newer Linux, or one with glibc (Debian, Ubuntu …; not Alpine).`,
    );
  }
}

/**
 * Is the dotted version `version` older than [major, minor]?
 * @param {string} version
 * @param {number[]} minimum
 */
function isOlder(version, [major, minor]) {
  const [ownMajor = 0, ownMinor = 0] = version.split('.').map(Number);
  return ownMajor < major || (ownMajor === major && ownMinor < minor);
}
