// The set-up as a whole, in a copy of the project: it ends at once when nothing is to be done, and mends what a kill at
// any point leaves behind.
import { appendFileSync, existsSync, mkdirSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { readInstallation } from '../../src/runtime/installation/readInstallation.ts';
import { unpackedMark } from '../../scripts/setup/libtensorflow/libraries.mjs';
import {
  bindingOf,
  compilations,
  fillCache,
  installationOf,
  librariesOf,
  pythonWithFailingPip,
  scratchProject,
} from './scratchProject.ts';
import type { ScratchProject } from './scratchProject.ts';

/** A scratch project that is set up for the CPU. */
function readyProject(): ScratchProject {
  const project = scratchProject();
  fillCache(project);
  expect(project.setUp(['--device', 'cpu'])).toMatchObject({ status: 0 });
  return project;
}

function expectNothingToDo(project: ScratchProject): void {
  expect(project.setUp()).toMatchObject({ status: 0, output: expect.stringContaining('Everything is installed') });
}

test('a second set-up has nothing to do, says so, and quietly says nothing', () => {
  const project = readyProject();
  expectNothingToDo(project);
  expect(project.setUp(['--quiet'])).toEqual({ status: 0, output: '' });
  expect(compilations(project)).toBe(2); // the binding and clm's kernels
  expect(installationOf(project)).toMatchObject({
    ...{ device: 'cpu', why: 'asked for with --device cpu', tensorflowVersion: '2.21.0' },
    libraryDirectory: librariesOf(project, 'cpu').libraryDirectory,
  });
});

test('an asked-for device stays, also when npm has emptied node_modules, and the last one asked for wins', () => {
  const project = readyProject();
  fillCache(project, 'cuda');
  expect(project.setUp(['--device', 'cuda'])).toMatchObject({ status: 0 });
  expect(installationOf(project).device).toBe('cuda');
  expectNothingToDo(project);
  rmSync(path.join(project.directory, 'node_modules/.clm-installation.json'));
  expect(project.setUp()).toMatchObject({
    status: 0,
    output: expect.stringContaining('CUDA: asked for with --device cuda'),
  });
  expect(installationOf(project).device).toBe('cuda');
  expect(project.setUp(['--device', 'cpu'])).toMatchObject({ status: 0 });
  expect(installationOf(project).device).toBe('cpu');
  expectNothingToDo(project);
});

describe('what a kill leaves is mended', () => {
  test('packages: npm was killed before it wrote its own lock file, or a package is gone', () => {
    const project = readyProject();
    const marker = path.join(project.directory, 'node_modules/.package-lock.json');
    renameSync(marker, `${marker}.kept`);
    project.stub('npm', `/bin/mv '${marker}.kept' '${marker}'`);
    expect(project.setUp()).toMatchObject({ status: 0, output: expect.stringContaining('npm ci') });
    expectNothingToDo(project);
    rmSync(path.join(project.directory, 'node_modules/typescript'));
    project.stub('npm', 'echo asked; exit 1');
    expect(project.setUp()).toMatchObject({ status: 3, output: expect.stringContaining('asked') });
  });

  test('libraries: an unpacked wheel is not fetched again, one that was being unpacked is', () => {
    const project = scratchProject();
    fillCache(project);
    const { folder, requirements } = librariesOf(project, 'cpu');
    renameSync(folder, `${folder}.partial`);
    project.stub('python3', pythonWithFailingPip('pip was asked'));
    expect(project.setUp(['--device', 'cpu'])).toMatchObject({
      status: 3,
      output: expect.stringContaining('pip was asked'),
    });
    expect(existsSync(folder)).toBe(false);
    for (const requirement of requirements) writeFileSync(unpackedMark(`${folder}.partial`, requirement), '');
    expect(project.setUp(['--device', 'cpu'])).toMatchObject({ status: 0 });
    expect(existsSync(`${folder}.partial`)).toBe(false);
    expectNothingToDo(project);
  });

  test('libraries: cut off by a crash of the machine, they are not taken for whole', () => {
    const project = scratchProject();
    fillCache(project);
    const { folder } = librariesOf(project, 'cpu');
    writeFileSync(path.join(folder, 'manifest.json'), '{"libraryBytes":{"libtensorflow_cc.so.2":5}}');
    project.stub('python3', pythonWithFailingPip('pip was asked'));
    expect(project.setUp(['--device', 'cpu'])).toMatchObject({
      status: 3,
      output: expect.stringContaining('pip was asked'),
    });
  });

  test('binding: missing, another one, or damaged', () => {
    const project = readyProject();
    const { file } = bindingOf(project);
    rmSync(file);
    expect(project.setUp()).toMatchObject({ status: 0 });
    appendFileSync(file, 'x');
    expect(project.setUp()).toMatchObject({ status: 0 });
    expectNothingToDo(project);
    // The binding once more; clm's kernels, which take a second, every time.
    expect(compilations(project)).toBe(2 + 3);
    truncateSync(file, 1000);
    expect(project.setUp()).toMatchObject({ status: 0 });
    expect(compilations(project)).toBe(3 + 4);
    expectNothingToDo(project);
  });

  test("clm's kernels: missing or damaged in the cache", () => {
    const project = readyProject();
    const { kernelsPath } = installationOf(project);
    truncateSync(kernelsPath, 1000);
    expect(project.setUp()).toMatchObject({ status: 0, output: expect.stringContaining("clm's kernels") });
    expectNothingToDo(project);
    rmSync(kernelsPath);
    expect(() => installationOf(project)).toThrow('is gone');
    expect(project.setUp()).toMatchObject({ status: 0 });
    expectNothingToDo(project);
  });
});

test('what an npm package has unpacked is used and not compiled again, without a compiler or a download', () => {
  const project = scratchProject();
  const unpacked = path.join(project.cache, 'clm/libtensorflow-2.21.0-linux-x64-abc');
  fillCache(project);
  expect(project.setUp(['--device', 'cpu'])).toMatchObject({ status: 0 });
  const { libraryDirectory, bindingPath, kernelsPath } = installationOf(project);
  renameSync(libraryDirectory, unpacked);
  renameSync(path.join(librariesOf(project, 'cpu').folder, 'manifest.json'), path.join(unpacked, 'manifest.json'));
  project.stub('c++', 'exit 9');
  project.stub('python3', pythonWithFailingPip('pip was asked'));
  expect(project.setUp()).toMatchObject({ status: 0 });
  const moved = (file: string): string => path.join(unpacked, path.basename(file));
  expect(installationOf(project)).toMatchObject({ bindingPath: moved(bindingPath), kernelsPath: moved(kernelsPath) });
  expectNothingToDo(project);
  // Of other sources it does not fit.
  appendFileSync(path.join(project.directory, 'native/library.cc'), '// changed\n');
  expect(project.setUp()).toMatchObject({ status: 3, output: expect.stringContaining('pip was asked') });
});

test('the build follows the sources, and is made again after a kill', () => {
  const project = readyProject();
  const built = (file: string): string => path.join(project.directory, 'dist', file);
  expect(existsSync(built('old.js'))).toBe(true);
  rmSync(path.join(project.directory, 'src/old.ts'));
  expect(project.setUp()).toMatchObject({ status: 0 });
  expect(existsSync(built('old.js'))).toBe(false);
  rmSync(built('cli/main.js'));
  expect(project.setUp()).toMatchObject({ status: 0 });
  expect(existsSync(built('cli/main.js'))).toBe(true);

  // Killed between taking the old build away and putting the new one there.
  renameSync(built(''), path.join(project.directory, 'node_modules/.clm-former-build'));
  mkdirSync(path.join(project.directory, 'node_modules/.clm-build'));
  expect(project.setUp()).toMatchObject({ status: 0 });
  expect(existsSync(built('cli/main.js'))).toBe(true);
  expect(existsSync(path.join(project.directory, 'node_modules/.clm-former-build'))).toBe(false);
  expectNothingToDo(project);
});

test('the installation of this clone is found and whole', () => {
  const { tensorflowVersion, device, libraryDirectory, bindingPath } = readInstallation();
  expect(tensorflowVersion).toMatch(/^2\.\d+\.\d+$/);
  expect(['cpu', 'cuda']).toContain(device);
  expect(existsSync(libraryDirectory) && existsSync(bindingPath)).toBe(true);
});
