// Step 5: the TypeScript of src compiled into dist, and the parts of tfjs that clm loads. Built in another folder and
// renamed, so that the files of deleted sources disappear and an interrupted build leaves the previous one.

import { existsSync, readFileSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { SetupFailure, exitCodes } from './failure.mjs';
import { filesBelow, hashOf, readJson, writeWhole } from './files.mjs';
import { runProgram } from './process.mjs';
import { bundleTfjs } from './tfjs/bundle.mjs';

const stampName = '.build.json';

/** Does dist hold what the sources, the settings and the compiler of now would give? */
export function buildIsCurrent(/** @type {string} */ root) {
  const { sources, built } = readJson(path.join(root, 'dist', stampName)) ?? {};
  if (sources !== sourcesHash(root)) return false;
  return built.every((/** @type {string} */ file) => existsSync(path.join(root, 'dist', file)));
}

function sourcesHash(/** @type {string} */ root) {
  const files = ['tsconfig.json', 'package.json', 'node_modules/typescript/package.json']
    .map((file) => path.join(root, file))
    .concat(filesBelow(path.join(root, 'src')), filesBelow(path.join(root, 'scripts/setup/tfjs')));
  return hashOf(...files.flatMap((file) => [path.relative(root, file), readFileSync(file)]));
}

/**
 * @param {string} root
 * @throws SetupFailure with the compiler's messages
 */
export async function build(root) {
  // Within node_modules, which git ignores, and on the same disk as dist.
  const aside = path.join(root, 'node_modules/.clm-build');
  const former = path.join(root, 'node_modules/.clm-former-build');
  const dist = path.join(root, 'dist');
  for (const folder of [aside, former]) rmSync(folder, { recursive: true, force: true });
  // Before the compiler reads the sources: what is edited meanwhile is built next time.
  const sources = sourcesHash(root);
  const tsc = path.join(root, 'node_modules/typescript/bin/tsc');
  const options = ['-p', path.join(root, 'tsconfig.json'), '--outDir', aside];
  const { status, output } = await runProgram(process.execPath, [tsc, ...options], { cwd: root });
  if (status !== 0)
    throw new SetupFailure(`The TypeScript sources do not compile:\n${output.trimEnd()}`, exitCodes.bug);
  await bundleTfjs(root, aside);
  const built = filesBelow(aside).map((file) => path.relative(aside, file));
  writeWhole(path.join(aside, stampName), JSON.stringify({ sources, built }));
  if (existsSync(dist)) renameSync(dist, former);
  renameSync(aside, dist);
  rmSync(former, { recursive: true, force: true });
}
