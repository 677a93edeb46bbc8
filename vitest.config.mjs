/**
 * Two projects. `quick`: the test files that load nothing native and start no program, which need `npm ci` alone
 * (npm run test:quick). `full`: the others, which need the set-up. What a file imports decides.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { globSync } from 'tinyglobby';
import { defineConfig } from 'vitest/config';

const files = globSync('test/**/*.test.ts', { cwd: import.meta.dirname }).sort();

/** @type {Map<string, boolean>} */
const needs = new Map();
/**
 * Whether a source loads native code, reads dist/ or starts a process, itself or through an import.
 * @param {string} file absolute
 * @returns {boolean}
 */
function needsSetUp(file) {
  const known = needs.get(file);
  if (known !== undefined) return known;
  needs.set(file, false); // an import cycle ends here
  const text = readFileSync(file, 'utf8');
  const imports = [...text.matchAll(/^(?:import|export) (?!type )[^;]*?from '([^']+)'|\bimport\('([^']+)'\)/gm)];
  const needed =
    /\bdist\//.test(file.includes('/test/') ? text : '') ||
    imports.some(([, from = '', lazy]) => {
      const name = lazy ?? from;
      if (!name.startsWith('.')) return /^(@tensorflow|koffi|node:child_process)/.test(name);
      return needsSetUp(path.resolve(path.dirname(file), name));
    });
  needs.set(file, needed);
  return needed;
}

const sorted = (/** @type {boolean} */ wanted) =>
  files.filter((file) => needsSetUp(path.join(import.meta.dirname, file)) === wanted);

export default defineConfig({
  test: {
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // tfjs-node crashes in worker threads. Loading it again for each file would take a quarter of the time.
    pool: 'forks',
    isolate: false,
    maxWorkers: '100%',
    coverage: { provider: 'v8', include: ['src/**'], reporter: ['text', 'html'] },
    projects: [
      { extends: true, test: { name: 'quick', include: sorted(false) } },
      { extends: true, test: { name: 'full', include: sorted(true) } },
    ],
  },
});
