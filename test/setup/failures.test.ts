// Every failure of the set-up that a user can mend: one message that names the remedy, and its exit code.
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { explained } from '../../scripts/setup/failure.mjs';
import { pipFailure } from '../../scripts/setup/libtensorflow/download.mjs';
import { npmFailure } from '../../scripts/setup/packages.mjs';
import { fillCache, librariesOf, pythonWithFailingPip, scratchProject } from './scratchProject.ts';

/** The failure is said once, without a stack, and `message` is in it. */
function expectFailure(
  { status, output }: { status: number | null; output: string },
  exitCode: number,
  message: RegExp,
): void {
  expect(output).toMatch(message);
  expect(output).not.toMatch(/^\s+at .*:\d+:\d+/m);
  expect(status).toBe(exitCode);
}

describe('the file system', () => {
  test.each([
    ['ENOSPC', /dist\/main\.js cannot be written: the disk is full: free some space/],
    ['EROFS', /read-only/],
    ['EACCES', /permission denied: make it writable/],
  ])('%s is told with its remedy', (code, message) => {
    const refusal = Object.assign(new Error(`${code}: refused`), { code, path: '/clone/dist/main.js' });
    expect(explained(refusal)).toMatchObject({ exitCode: 3, message: expect.stringMatching(message) });
  });

  test('what is no refusal of the system stays what it is', () => {
    const bug = new TypeError('x is not a function');
    expect(explained(bug)).toBe(bug);
    expect(explained(undefined)).toBeUndefined();
  });

  test('a full disk anywhere in the set-up ends it with one message', () => {
    const project = scratchProject();
    fillCache(project);
    const refusing = path.join(project.directory, 'refusing.cjs');
    writeFileSync(
      refusing,
      `const fs = require('fs');
      const rename = fs.renameSync;
      fs.renameSync = (from, to) => {
        const full = Object.assign(new Error('ENOSPC'), { code: 'ENOSPC', path: from, dest: to });
        if (to.endsWith('.clm-installation.json')) throw full;
        rename(from, to);
      };
      require('module').syncBuiltinESMExports();`,
    );
    expectFailure(
      project.setUp([], { NODE_OPTIONS: `--require ${refusing}` }),
      3,
      /\.clm-installation\.json cannot be written: the disk is full/,
    );
  });
});

describe('packages', () => {
  test('no network: npm’s own output is shortened, and dev packages are asked for whatever NODE_ENV says', () => {
    const project = scratchProject();
    rmSync(path.join(project.directory, 'node_modules/.package-lock.json'));
    project.stub('npm', 'echo "$NODE_ENV|$*" > "$HOME/asked"; echo "npm error code ENOTFOUND"; exit 1');
    expectFailure(
      project.setUp([], { NODE_ENV: 'production' }),
      3,
      /npm cannot reach .*check the network.*HTTPS_PROXY/,
    );
    const asked = readFileSync(path.join(project.directory, '../asked'), 'utf8');
    expect(asked).toMatch(/^\|ci /);
    expect(asked).toContain('--include=dev');
    expect(asked).toContain('--ignore-scripts');
  });

  test.each([
    ['ENOSPC: no space left on device', /disk is full: free/, 3],
    ['npm error code EINTEGRITY', /npm cache clean/, 3],
    ['npm error code EUSAGE', /run "npm install"/, 2],
    ['npm error code EACCES', /writable/, 3],
    ['something else', /npm ci failed:\n {2}something else/, 3],
  ])('npm says %s', (said, message, exitCode) => {
    expect(npmFailure(said)).toMatchObject({ exitCode, message: expect.stringMatching(message) });
  });

  test('no npm', () => {
    const project = scratchProject();
    rmSync(path.join(project.directory, 'node_modules/.package-lock.json'));
    expectFailure(project.setUp(), 3, /npm was not found: install it/);
  });
});

describe('TensorFlow', () => {
  test('no python3', () => {
    const project = scratchProject();
    project.remove('python3');
    expectFailure(project.setUp(), 3, /python3 was not found.*apt install python3/);
  });

  test.each([
    ['/usr/bin/python3: No module named pip', /python3 has no pip.*apt install python3-pip/],
    [
      'NewConnectionError: Failed to establish a new connection\nERROR: No matching distribution found',
      /cannot reach the package index.*check the network/,
    ],
    [
      'ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.',
      /does not match the hash that clm pins.*try again/,
    ],
    [
      'ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device',
      /too full.*free some space/,
    ],
    ['ERROR: No matching distribution found for tensorflow-cpu==2.21.0', /does not offer .*PIP_INDEX_URL/],
    ['ERROR: [Errno 13] Permission denied', /make it writable/],
    ['something else', /pip could not fetch .*:\n {2}something else/],
  ])('pip says %s', (said, message) => {
    const failure = pipFailure(said, { name: 'tensorflow-cpu', version: '2.21.0' }, '/cache');
    expect(failure).toMatchObject({ exitCode: 3, message: expect.stringMatching(message) });
  });

  test('what pip says reaches the user, and nothing half-done is taken for whole', () => {
    const project = scratchProject();
    project.stub('python3', pythonWithFailingPip('ConnectTimeout'));
    expectFailure(project.setUp(['--device', 'cpu']), 3, /cannot reach the package index/);
    expect(existsSync(librariesOf(project, 'cpu').folder)).toBe(false);
  });

  test('a cache that cannot be written', () => {
    expectFailure(
      scratchProject().setUp([], { XDG_CACHE_HOME: '/dev/null/cache' }),
      3,
      /cannot be written.*set XDG_CACHE_HOME/,
    );
  });
});

describe('the binding', () => {
  test('no compiler, or none where CXX says', () => {
    const project = scratchProject(); // without the libraries: it is said before they are downloaded
    project.stub('python3', pythonWithFailingPip('pip was asked'));
    project.remove('c++');
    expectFailure(project.setUp(['--device', 'cpu']), 3, /No C\+\+ compiler was found.*apt install g\+\+/);
    expectFailure(project.setUp([], { CXX: 'my-compiler -v' }), 3, /CXX, my-compiler, was not found/);
  });

  test('a compiler that fails', () => {
    const project = scratchProject();
    fillCache(project);
    project.stub('c++', 'echo "error: unknown -std=c++17"; exit 1');
    expectFailure(project.setUp(['--device', 'cpu']), 3, /could not compile.*C\+\+17[\s\S]*unknown -std/);
  });

  test('a binding that does not load', () => {
    const project = scratchProject();
    fillCache(project);
    project.stub('c++', 'for last; do :; done; echo rubbish > "$last"');
    expectFailure(
      project.setUp(['--device', 'cpu']),
      3,
      /does not load: .*(file too short|invalid ELF header|not a mach-o)/,
    );
  });
});

test('TypeScript that does not compile: the compiler’s message with file and line', () => {
  const project = scratchProject();
  fillCache(project);
  writeFileSync(path.join(project.directory, 'src/wrong.ts'), "export const wrong: number = 'text';\n");
  expectFailure(project.setUp(['--device', 'cpu']), 1, /src\/wrong\.ts\(1,14\): error TS2322/);
});

test.each([
  [['--device', 'gpu'], /--device must be one of auto, cpu, cuda, not "gpu"/],
  [['--fast'], /--fast[\s\S]*Usage: /],
])('wrong usage: %j', (argumentList, message) => {
  expectFailure(scratchProject().setUp(argumentList), 2, message);
});
