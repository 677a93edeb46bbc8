/**
 * Kills the set-up (SIGKILL) at random moments, again and again: the next set-up must repair everything.
 *
 *   npm run check -- setup-kill [COUNT=10 [SEED=1]]
 *
 * Its npm, pip and compiler are left running. Works on a copy of the project with a cache of its own in the temporary
 * folder, and downloads TensorFlow again and again.
 *
 * Time: 5 minutes
 */
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { root } from '../../lib/clm.mjs';
import { computation, product } from '../../lib/computation.mjs';

const count = Number(process.argv[2] ?? 10);
let state = Number(process.argv[3] ?? 1);
/** Uniform in [0, 1), repeatable by its seed: the linear congruential generator of Numerical Recipes. */
const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
const longestMs = 45_000;

const scratch = mkdtempSync(path.join(os.tmpdir(), 'clm-kill-'));
const clone = path.join(scratch, 'clone with a space');
const env = { ...process.env, XDG_CACHE_HOME: path.join(scratch, 'cache') };
for (const part of ['scripts', 'src', 'native', 'package.json', 'package-lock.json', 'tsconfig.json', '.npmrc']) {
  cpSync(path.join(root, part), path.join(clone, part), { recursive: true });
}
const setUp = ['scripts/setup.mjs', '--device', 'cpu'];

/** @param {number} afterMs */
const killedSetUp = (afterMs) =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, setUp, { cwd: clone, env, stdio: 'ignore' });
    const timer = setTimeout(() => child.kill('SIGKILL'), afterMs);
    child.on('exit', (status) => {
      clearTimeout(timer);
      resolve(status);
    });
  });

try {
  for (let kill = 1; kill <= count; kill++) {
    // Now and then from the beginning, else every kill after the first few would meet a finished set-up.
    if (kill % 4 === 1) {
      for (const folder of [`${clone}/node_modules`, `${clone}/dist`, env.XDG_CACHE_HOME]) {
        rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 500 });
      }
    }
    // Short times as likely as long ones: the steps differ by orders of magnitude.
    const afterMs = Math.round(Math.exp(Math.log(50) + random() * Math.log(longestMs / 50)));
    const status = await killedSetUp(afterMs);
    console.log(
      `kill ${kill} of ${count} after ${afterMs} ms: ${status === null ? 'killed' : `had ended with ${status}`}`,
    );
    if (status !== null && status !== 0) throw new Error(`the set-up failed by itself (${status})`);
    if (kill % 2 === 0) requireMended();
  }
  requireMended();
  console.log(`survived ${count} kills`);
} finally {
  rmSync(scratch, { recursive: true, force: true, maxRetries: 20, retryDelay: 500 });
}

/** The next set-up must succeed, the one after it do nothing, and the result work. */
function requireMended() {
  const options = /** @type {const} */ ({ cwd: clone, env, encoding: 'utf8' });
  const mending = spawnSync(process.execPath, setUp, options);
  if (mending.status !== 0) throw new Error(`the set-up after a kill failed (${mending.status}): ${mending.stderr}`);
  const again = spawnSync(process.execPath, setUp, options);
  if (!/Everything is installed/.test(again.stderr)) throw new Error(`a second set-up had work to do: ${again.stderr}`);
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', computation], options);
  if (stdout.trim() !== product) throw new Error(`TensorFlow does not work after the set-up: ${stderr}`);
  if (!existsSync(path.join(clone, 'dist/.build.json'))) throw new Error('there is no build after the set-up');
  console.log('mended');
}
