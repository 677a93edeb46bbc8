/**
 * Compiles clm's kernels for AVX2 alone and for any x86-64, and runs their tests with each on this processor.
 *
 *   npm run check -- vectors [FILES]
 *
 * FILES are tests (default: of kernels, attention and gradients). On a processor with AVX-512 the tests otherwise
 * compute with the widest variant alone. The int8 kernels choose by themselves and stay as they are. Linux x86-64 only.
 *
 * Time: 2 minutes
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { print, root, scratchFolder } from '../../lib/clm.mjs';
import { cacheFolder } from '../../setup/cache.mjs';
import { compile } from '../../setup/compiler.mjs';
import { kernelArguments, locateKernels } from '../../setup/kernels.mjs';
import { locateLibraries } from '../../setup/libtensorflow/libraries.mjs';
import { platforms } from '../../package/platforms.mjs';
import { progressOn } from '../../setup/progress.mjs';

const variants = { 'AVX2 and FMA': '-march=x86-64-v3', 'any x86-64': '-march=x86-64' };
const given = process.argv.slice(2);
const files = given.length > 0 ? given : ['kernels', 'attention', 'gradients'].map((name) => `${name}.test.ts`);

if (process.platform !== 'linux' || process.arch !== 'x64') {
  console.error('Needs Linux on x86-64.');
  process.exit(3);
}
const scratch = scratchFolder('vectors');
const installationFile = 'node_modules/.clm-installation.json';
const installation = JSON.parse(readFileSync(path.join(root, installationFile), 'utf8'));
makeClone();
const failed = [];
for (const [name, march] of Object.entries(variants)) {
  print(`Kernels for ${name}:`);
  const kernelsPath = path.join(scratch, `kernels${march}.so`);
  const kernels = locateKernels(root, locateLibraries(root, cacheFolder(), platforms['linux-x64'], 'cpu'));
  const flags = [...kernelArguments(kernels), march, '-DCLM_ONE_VARIANT'];
  await compile(kernelsPath, flags, "clm's kernels", progressOn(false));
  writeFileSync(path.join(scratch, installationFile), JSON.stringify({ ...installation, kernelsPath }));
  const vitest = path.join(root, 'node_modules/vitest/vitest.mjs');
  // Kernels of tiles have one variant, which is tested by itself.
  const env = { ...process.env, CLM_TILE_PRODUCTS: '0' };
  const { status } = spawnSync(process.execPath, [vitest, 'run', ...files], { cwd: scratch, env, stdio: 'inherit' });
  if (status !== 0) failed.push(name);
}
print(failed.length === 0 ? 'All passed.' : `Failed: ${failed.join('; ')}`);
process.exitCode = failed.length === 0 ? 0 : 1;

/** Sources and tests in the scratch folder, which looks for the kernels in a folder node_modules of its own. */
function makeClone() {
  for (const name of ['src', 'dist', 'test', 'scripts', 'package.json', 'vitest.config.mjs'])
    cpSync(path.join(root, name), path.join(scratch, name), { recursive: true });
  const modules = path.join(scratch, 'node_modules');
  mkdirSync(modules);
  for (const name of readdirSync(path.join(root, 'node_modules')))
    if (!name.startsWith('.')) symlinkSync(path.join(root, 'node_modules', name), path.join(modules, name));
}
