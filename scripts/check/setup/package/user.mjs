// A user of the check's own: a home folder, a registry, and a PATH that has Node and what npm and pnpm call.
import { spawn } from 'node:child_process';
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { run as runHere } from '../../../lib/clm.mjs';

/** @typedef {import('node:child_process').ChildProcess} Child */

/**
 * @typedef {object} Ended
 * @property {number | null} code
 * @property {string} output stdout and stderr together
 * @property {string} stdout
 * @property {number} elapsedMs
 * @property {(text: RegExp) => number} msUntil since the start, when a matching text had been printed; Infinity if none
 */

/**
 * @param {string} folder
 * @param {{ node: string, npm: string, tools: string, registry: { url: string, setting: string } }} parts Node, the
 *   folder of npm's package, and one with pnpm and yarn in node_modules
 */
export function newUser(folder, { node, npm, tools, registry }) {
  const [home, programs] = [path.join(folder, 'home'), path.join(folder, 'programs')];
  for (const made of [home, programs]) mkdirSync(made, { recursive: true });
  symlinkSync(node, path.join(programs, 'node'));
  // npm runs scripts and npx with the shell, and pnpm's scripts for commands call the others.
  for (const name of ['sh', 'sed', 'dirname', 'uname'])
    symlinkSync(runHere('which', [name]).trim(), path.join(programs, name));
  const script = (/** @type {string} */ name, /** @type {string} */ file) =>
    writeFileSync(path.join(programs, name), `#!/bin/sh\nexec '${node}' '${file}' "$@"\n`, { mode: 0o755 });
  for (const name of ['npm', 'npx']) script(name, path.join(npm, `bin/${name}-cli.js`));
  script('pnpm', path.join(tools, 'node_modules/pnpm/bin/pnpm.cjs'));
  script('yarn', path.join(tools, 'node_modules/yarn/bin/yarn.js'));
  const prefix = path.join(home, 'global');
  const npmrc = [
    ...[`registry=${registry.url}`, registry.setting, `prefix=${prefix}`],
    ...['audit=false', 'fund=false', 'update-notifier=false'],
  ];
  writeFileSync(path.join(home, '.npmrc'), npmrc.join('\n'));
  const cache = path.join(home, '.cache/clm');

  /**
   * @param {string} cwd
   * @param {string} command
   * @param {{ env?: Record<string, string>, onStart?: (child: Child) => void }} [options]
   * @returns {Promise<Ended>}
   */
  const run = (cwd, command, { env = {}, onStart } = {}) =>
    new Promise((resolve) => {
      const started = performance.now();
      /** @type {{ ms: number, text: string }[]} */
      const printed = [];
      const stdout = /** @type {string[]} */ ([]);
      const ownEnv = { HOME: home, PATH: `${programs}:${prefix}/bin`, npm_config_loglevel: 'error', ...env };
      const child = spawn('/bin/sh', ['-c', command], { cwd, env: ownEnv, stdio: ['ignore', 'pipe', 'pipe'] });
      onStart?.(child);
      for (const stream of [child.stdout, child.stderr])
        stream.setEncoding('utf8').on('data', (/** @type {string} */ text) => {
          printed.push({ ms: performance.now() - started, text });
          if (stream === child.stdout) stdout.push(text);
        });
      child.on('close', (code) =>
        resolve({
          code,
          output: printed.map(({ text }) => text).join(''),
          stdout: stdout.join(''),
          elapsedMs: performance.now() - started,
          msUntil: (pattern) => {
            const upTo = (/** @type {number} */ i) => printed.slice(0, i + 1).map(({ text }) => text);
            return printed.find((_, i) => pattern.test(upTo(i).join('')))?.ms ?? Infinity;
          },
        }),
      );
    });
  const project = (/** @type {string} */ name, /** @type {object} */ packageJson = { private: true }) => {
    const made = path.join(folder, name);
    mkdirSync(made);
    writeFileSync(path.join(made, 'package.json'), JSON.stringify(packageJson));
    return made;
  };
  /** Removes what clm has unpacked. */
  const forget = () => rmSync(cache, { recursive: true, force: true });
  return { home, cache, run, project, forget };
}
