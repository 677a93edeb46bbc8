/**
 * Makes the npm packages: clm's own, and the one that holds TensorFlow for this platform.
 *
 *   npm run package -- --output DIR [--platform NAME]
 *
 * DIR gets clm-VERSION.tgz and clm-PLATFORM-VERSION.tgz. With --platform, only the package for that platform is made,
 * in DIR/NAME. The same commit, Node, npm and compiler give the same bytes. libtensorflow is compressed once and kept
 * in the cache folder.
 *
 * Time: 2 minutes the first time, then 20 s
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { helpOf } from './lib/listing.mjs';
import { stageMain } from './package/mainPackage.mjs';
import { pack } from './package/pack.mjs';
import { makeFiles, stagePlatform } from './package/platformPackage.mjs';
import { packageName, platforms, sizeLimits } from './package/platforms.mjs';
import { exitCodes, explained, SetupFailure } from './setup/failure.mjs';
import { passSignalsOn } from './setup/process.mjs';
import { progressOn } from './setup/progress.mjs';

const root = path.dirname(import.meta.dirname);

/** @param {string[]} argumentList */
async function makePackages(argumentList) {
  const { output, platform, help } = options(argumentList);
  if (help) return console.log(helpOf(import.meta.filename));
  if (output === undefined) throw new SetupFailure('--output DIR is missing', exitCodes.wrongUsage);
  const own = `${process.platform}-${process.arch}`;
  const name = platform ?? own;
  if (!(name in platforms)) {
    const known = Object.keys(platforms).join(', ');
    throw new SetupFailure(`there is no package for ${name}, only for ${known}`, exitCodes.wrongUsage);
  }
  const directory = platform === undefined ? path.resolve(output) : path.resolve(output, platform);
  mkdirSync(directory, { recursive: true });
  const scratch = mkdtempSync(path.join(os.tmpdir(), 'clm-package-'));
  try {
    const progress = progressOn(false);
    const files = await makeFiles(root, name, progress);
    stagePlatform(root, path.join(scratch, name), name, files);
    const stages = [[name, packageName(name)]];
    if (platform === undefined) {
      stageMain(root, path.join(scratch, 'clm'));
      stages.unshift(['clm', 'clm']);
    }
    for (const [stage, packed] of stages) {
      const { file, size } = await pack(path.join(scratch, stage), directory, sizeLimits[packed]);
      console.log(`${path.join(output, path.relative(path.resolve(output), file))}  ${(size / 1e6).toFixed(2)} MB`);
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** @param {string[]} argumentList */
function options(argumentList) {
  const text = /** @type {const} */ ({ type: 'string' });
  const flag = /** @type {const} */ ({ type: 'boolean' });
  try {
    return parseArgs({ args: argumentList, options: { output: text, platform: text, help: flag } }).values;
  } catch (error) {
    throw new SetupFailure(/** @type {Error} */ (error).message, exitCodes.wrongUsage);
  }
}

passSignalsOn();
try {
  await makePackages(process.argv.slice(2));
} catch (error) {
  const failure = explained(error);
  if (!(failure instanceof SetupFailure)) throw failure;
  console.error(`error: ${failure.message}\nSee: npm run package -- --help`);
  process.exitCode = failure.exitCode;
}
