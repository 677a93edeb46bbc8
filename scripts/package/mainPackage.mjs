// The package `clm`: JavaScript, types, documentation, schema and example configs.

import { chmodSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { readJson } from '../setup/files.mjs';
import { packageName, platforms } from './platforms.mjs';

/** Copied as they are. */
const copied = ['bin', 'configs', 'docs', 'schema', 'CHANGELOG.md', 'LICENSE', 'README.md'];
const tfjsCore = '@tensorflow/tfjs-core';
/** Its copy, below dist. tfjs-core itself would bring six packages that clm does not use, for 80 MB. */
const coreCopy = 'vendor/tfjs-core.cjs';

/**
 * @param {string} root the clone, with a current dist
 * @param {string} stage folder to fill
 */
export function stageMain(root, stage) {
  const dist = path.join(root, 'dist');
  const types = typesOf(dist, 'api.d.ts');
  const built = /** @type {string[]} */ (readJson(path.join(dist, '.build.json')).built);
  for (const file of built) {
    if (file.endsWith('.d.ts') ? !types.has(file) : !/\.c?js$/.test(file)) continue;
    write(path.join(stage, 'dist', file), withOwnModules(readFileSync(path.join(dist, file), 'utf8'), file));
  }
  const core = path.join(root, 'node_modules', tfjsCore, 'dist/tf-core.node.js');
  write(
    path.join(stage, 'dist', coreCopy),
    readFileSync(core, 'utf8').replace(/\n\/\/# sourceMappingURL=.*\s*$/, '\n'),
  );
  write(path.join(stage, 'dist/vendor/LICENSE'), licences(root));
  for (const part of copied) cpSync(path.join(root, part), path.join(stage, part), { recursive: true });
  chmodSync(path.join(stage, 'bin/clm.mjs'), 0o755);
  const {
    scripts,
    devDependencies,
    packageManager,
    private: _,
    imports,
    ...kept
  } = readJson(path.join(root, 'package.json'));
  const { koffi, ...dependencies } = kept.dependencies;
  const optionalDependencies = Object.fromEntries(
    Object.keys(platforms).flatMap((platform) => [
      [packageName(platform), kept.version],
      [`@koromix/koffi-${platform}`, koffi],
    ]),
  );
  const published = { ...kept, dependencies, optionalDependencies };
  write(path.join(stage, 'package.json'), `${JSON.stringify(published, undefined, 2)}\n`);
}

/**
 * A built file that takes tfjs-core from the copy, and koffi from its package for the platform, which has everything
 * but an install script.
 * @param {string} text
 * @param {string} file below dist
 */
function withOwnModules(text, file) {
  const relative = path.relative(path.dirname(file), coreCopy);
  const own = relative.startsWith('.') ? relative : `./${relative}`;
  return text
    .replaceAll(new RegExp(`(["'])${tfjsCore}\\1`, 'g'), (_, quote) => `${quote}${own}${quote}`)
    .replaceAll("('koffi')", '(`@koromix/koffi-${process.platform}-${process.arch}`)');
}

/**
 * The declarations that a user's compiler reads: those of a file, and what they import.
 * @param {string} dist
 * @param {string} file
 * @param {Set<string>} found
 */
function typesOf(dist, file, found = new Set()) {
  if (found.has(file)) return found;
  found.add(file);
  for (const [, from] of readFileSync(path.join(dist, file), 'utf8').matchAll(/(?:from |import\()["'](\.[^"']+)["']/g))
    typesOf(dist, path.join(path.dirname(file), from.replace(/(?:\.d)?\.[jt]s$/, '.d.ts')), found);
  return found;
}

/** What the files in dist/vendor are and their licences. @param {string} root */
function licences(root) {
  const readMe = readFileSync(path.join(root, 'node_modules/seedrandom/README.md'), 'utf8');
  const seedrandom = /^Copyright \d+ David Bau\.[^]*?SOFTWARE\.\s*$/m.exec(readMe);
  if (seedrandom === null) throw new Error('the licence of seedrandom is not where it was');
  const { version } = readJson(path.join(root, 'node_modules', tfjsCore, 'package.json'));
  return [
    `tfjs-core.cjs is dist/tf-core.node.js of ${tfjsCore} ${version}; tfjs-node.cjs is made of files of`,
    `@tensorflow/tfjs-node-gpu and ${tfjsCore} ${version}, and says at its beginning what was changed.`,
    'Copyright Google LLC, Apache License 2.0, see below. tfjs-core.cjs includes seedrandom (MIT licence):\n',
    seedrandom[0],
    readFileSync(path.join(import.meta.dirname, 'Apache-2.0.txt'), 'utf8'),
  ].join('\n');
}

function write(/** @type {string} */ file, /** @type {string} */ content) {
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, content);
}
