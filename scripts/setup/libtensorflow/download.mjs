// Downloads and unpacks one pinned wheel with Python: pip checks the hash, zipfile takes out what is needed.

import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { diskFull } from '../cache.mjs';
import { SetupFailure, lastLines } from '../failure.mjs';
import { folderBytes } from '../files.mjs';
import { runProgram } from '../process.mjs';
import { requirePython } from './python.mjs';

/** The wheels are those for this Python; which Python runs pip does not matter. */
const wheelPython = '3.12';

const unpackScript = `
import os, sys, zipfile
wheel, folder, *members = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    for entry in archive.infolist():
        if entry.is_dir() or not entry.filename.startswith(tuple(members)):
            continue
        file = archive.extract(entry, folder)
        if entry.external_attr >> 16 & 0o111:
            os.chmod(file, 0o755)
`;

/**
 * Downloads a wheel into `folder` and unpacks its needed members into `site`. `folder` is emptied first and removed at
 * the end, so that nothing of the wheel itself stays.
 * @param {import('./wheels.mjs').Requirement} requirement
 * @param {import('./wheels.mjs').WheelSet} set
 * @param {string} folder
 * @param {string} site
 * @param {(downloadedBytes: number) => void} onBytes called about four times a second
 * @throws SetupFailure
 */
export async function fetchWheel(requirement, set, folder, site, onBytes) {
  const python = requirePython();
  const [wheels, temporary] = [path.join(folder, 'wheel'), path.join(folder, 'tmp')];
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(wheels, { recursive: true });
  mkdirSync(temporary);
  const requirements = path.join(folder, 'requirements.txt');
  writeFileSync(requirements, `${requirement.pin}\n`);
  const options = [
    ...['--no-deps', '--only-binary=:all:', '--implementation', 'cp', '--python-version', wheelPython],
    ...set.pipPlatforms.flatMap((tag) => ['--platform', tag]),
    ...['--require-hashes', '-r', requirements, '-d', wheels],
    // The wheel is kept nowhere: unpacked, it is shared by all clones.
    ...['--no-cache-dir', '--progress-bar', 'off', '--disable-pip-version-check', '--no-input'],
  ];
  // pip downloads to the temporary folder, which may be a small disk of its own.
  const env = { ...process.env, TMPDIR: temporary, PIP_REQUIRE_VIRTUALENV: '0', PIP_USER: '0', LC_ALL: 'C.UTF-8' };
  const timer = setInterval(() => onBytes(folderBytes(folder)), 250);
  try {
    const pip = await runProgram(python, ['-m', 'pip', 'download', ...options], { env });
    if (pip.status !== 0) throw pipFailure(pip.output, requirement, folder);
  } finally {
    clearInterval(timer);
  }
  const [wheel] = readdirSync(wheels);
  if (wheel === undefined) throw new Error(`pip left no wheel of ${requirement.name}`);
  const unpacking = await runProgram(python, ['-c', unpackScript, path.join(wheels, wheel), site, ...set.members]);
  if (unpacking.status !== 0) {
    if (isDiskFull(unpacking.output)) throw diskFull(site);
    throw new SetupFailure(`Could not unpack ${wheel} to ${site}:\n${lastLines(unpacking.output)}`);
  }
  rmSync(folder, { recursive: true, force: true });
}

const isDiskFull = (/** @type {string} */ output) =>
  /No space left on device|Errno 28\b|Disk quota exceeded/i.test(output);

/**
 * The message for a failed `pip download`, from what it printed.
 * @param {string} output
 * @param {{ name: string, version: string }} requirement
 * @param {string} folder
 */
export function pipFailure(output, { name, version }, folder) {
  if (/No module named '?"?pip\b/.test(output)) {
    return new SetupFailure(
      'python3 has no pip, which the set-up needs to fetch TensorFlow: install it ' +
        '(Debian, Ubuntu: apt install python3-pip; Fedora: dnf install python3-pip; else: python3 -m ensurepip).',
    );
  }
  if (isDiskFull(output)) return diskFull(folder);
  if (/DO NOT MATCH THE HASHES/.test(output)) {
    return new SetupFailure(
      `The wheel of ${name} ${version} that was downloaded does not match the hash that clm pins; a mirror or proxy ` +
        'may have changed or cut it: try again, or with another index (pip config set global.index-url …).',
    );
  }
  if (networkTrouble.test(output)) {
    return new SetupFailure(
      `pip cannot reach the package index to fetch ${name} ${version}: check the network, and behind a proxy or ` +
        `with a mirror set HTTPS_PROXY or PIP_INDEX_URL.\n${lastLines(output, 3)}`,
    );
  }
  if (/No matching distribution|Could not find a version/.test(output)) {
    return new SetupFailure(
      `The package index that pip uses does not offer ${name} ${version}: ` +
        'use another (PIP_INDEX_URL), or unset PIP_NO_INDEX.',
    );
  }
  if (/Permission denied|Errno 13\b|Read-only file system/.test(output)) {
    return new SetupFailure(
      `pip may not write to ${folder}: make it writable, or set XDG_CACHE_HOME to another folder.`,
    );
  }
  return new SetupFailure(`pip could not fetch ${name} ${version}:\n${lastLines(output, 12)}`);
}

// A plain 404 of a mirror is no trouble of the network: it reads "No matching distribution" alone.
const networkTrouble = new RegExp(
  [
    'NewConnectionError|ConnectTimeout|ReadTimeout|Max retries exceeded|Connection (?:refused|reset|aborted|broken)',
    'Failed to establish a new connection|Temporary failure in name resolution|Name or service not known',
    'NameResolutionError',
    'Network is unreachable|No route to host|Read timed out|ProxyError|SSLError|CERTIFICATE_VERIFY_FAILED',
    'IncompleteRead',
    'HTTPError: (?:403|407|429|5\\d\\d)|IncompleteDownload|incomplete-download',
  ].join('|'),
);
