// Step 1: node_modules as package-lock.json says, without any package's install script.

import { existsSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { SetupFailure, exitCodes, lastLines } from './failure.mjs';
import { readJson } from './files.mjs';
import { findProgram, runProgram } from './process.mjs';

/**
 * What is compared of an entry of a lock file.
 * @typedef {{ version?: string, integrity?: string, optional?: boolean, os?: string[], cpu?: string[],
 *   libc?: string[] }} LockedPackage
 * @typedef {Record<string, LockedPackage>} LockedPackages
 */

/** Does node_modules hold the packages of package-lock.json, and no others? */
export function packagesAreInstalled(/** @type {string} */ root) {
  // npm writes this file last, and `installPackages` removes it first: it is missing after a killed npm.
  const installed = readJson(path.join(root, 'node_modules/.package-lock.json'))?.packages;
  const locked = JSON.parse(readFileSync(path.join(root, 'package-lock.json'), 'utf8')).packages;
  if (installed === undefined || !sameLockedPackages(locked, installed, process)) return false;
  return Object.keys(installed).every((folder) => existsSync(path.join(root, folder, 'package.json')));
}

/**
 * Are the installed packages those that npm takes from the locked ones on this machine? Optional packages for other
 * platforms may be missing.
 * @param {LockedPackages} locked `packages` of package-lock.json, keyed by folder; '' is the project itself
 * @param {LockedPackages} installed `packages` of node_modules/.package-lock.json
 * @param {{ platform: string, arch: string }} machine
 */
export function sameLockedPackages(locked, installed, { platform, arch }) {
  if (Object.keys(installed).some((folder) => locked[folder] === undefined)) return false;
  return Object.entries(locked).every(([folder, wanted]) => {
    if (folder === '') return true;
    const found = installed[folder];
    if (found !== undefined) return found.version === wanted.version && found.integrity === wanted.integrity;
    // A missing optional package is one for other machines, or needed by those alone (then it names no machine itself).
    return wanted.optional === true && !isMachineNamed(wanted, { platform, arch });
  });
}

/**
 * Does a package name the machines it is for, and this one among them?
 * @param {LockedPackage} wanted
 * @param {{ platform: string, arch: string }} machine
 */
function isMachineNamed({ os, cpu, libc }, { platform, arch }) {
  if (os === undefined && cpu === undefined) return false;
  return (os?.includes(platform) ?? true) && (cpu?.includes(arch) ?? true) && (libc?.includes('glibc') ?? true);
}

/**
 * Runs `npm ci`. Says nothing of npm's own output unless it fails.
 * @param {string} root
 * @throws SetupFailure
 */
export async function installPackages(root) {
  rmSync(path.join(root, 'node_modules/.package-lock.json'), { force: true });
  const { NODE_ENV: _, ...env } = process.env; // "production" would leave out what the build needs
  const options = ['--ignore-scripts', '--no-audit', '--no-fund', '--include=dev', '--include=optional'];
  const [command, ...first] = npmCommand();
  const { status, output } = await runProgram(command, [...first, 'ci', ...options], { cwd: root, env });
  if (status !== 0) throw npmFailure(output);
}

/** How npm is started. @returns {[string, ...string[]]} */
export function npmCommand() {
  // Started by `npm start`, npm says where it is itself; under other package managers the variable names those.
  const running = process.env.npm_execpath;
  if (running !== undefined && path.basename(running) === 'npm-cli.js') return [process.execPath, running];
  const npm = findProgram(['npm']);
  if (npm === undefined) {
    throw new SetupFailure('npm was not found: install it (it comes with Node, https://nodejs.org) or put it on PATH.');
  }
  return [npm];
}

/** The message for a failed `npm ci`, from what it printed. */
export function npmFailure(/** @type {string} */ output) {
  if (/ENOSPC/.test(output))
    return new SetupFailure('The disk is full: free about 1 GB for node_modules and try again.');
  if (/EACCES|EPERM|EROFS/.test(output)) {
    return new SetupFailure(
      `npm may not write to node_modules: make the folder of the clone writable.\n${lastLines(output)}`,
    );
  }
  if (
    /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ERR_SOCKET_TIMEOUT/.test(output)
  ) {
    return new SetupFailure(
      'npm cannot reach the package registry: check the network, and behind a proxy set HTTPS_PROXY ' +
        `(or npm's own settings: npm config set proxy, registry).\n${lastLines(output)}`,
    );
  }
  if (/EINTEGRITY/.test(output)) {
    return new SetupFailure(
      `A package does not match package-lock.json; a mirror or proxy may have changed it: clear npm's ` +
        `cache (npm cache clean --force), or use another registry.\n${lastLines(output)}`,
    );
  }
  if (/EUSAGE/.test(output)) {
    const message = 'package-lock.json does not fit package.json: run "npm install" to bring it up to date.';
    return new SetupFailure(`${message}\n${lastLines(output)}`, exitCodes.wrongUsage);
  }
  return new SetupFailure(`npm ci failed:\n${lastLines(output, 15)}`);
}
