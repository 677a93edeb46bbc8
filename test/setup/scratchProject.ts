// A small copy of the project with a cache of its own, in which the real set-up runs as a process without touching this
// clone, and without any download: the libraries are linked from the real cache, the other programs are stubs.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { onTestFinished } from 'vitest';
import { locateBinding } from '../../scripts/setup/binding.mjs';
import type { Device } from '../../scripts/setup/device.mjs';
import { locateLibraries } from '../../scripts/setup/libtensorflow/libraries.mjs';
import { readInstallation } from '../../src/runtime/installation/readInstallation.ts';

export const projectDirectory = path.resolve(import.meta.dirname, '../..');
const tfjs = 'node_modules/@tensorflow/tfjs-node-gpu';
/** The real Python behind any wrapper script, which would not run without the user's PATH. */
const realPython = spawnSync('python3', ['-c', 'import sys; print(sys.executable)'], {
  encoding: 'utf8',
}).stdout.trim();

export interface ScratchProject {
  directory: string;
  cache: string;
  /** Runs scripts/setup.mjs with nothing but the stubs on PATH. */
  setUp(argumentList?: string[], environment?: Record<string, string>): { status: number | null; output: string };
  /** Starts one of the clone's own files, such as scripts/setup.mjs, in the same way. */
  start(file: string, argumentList?: string[]): ChildProcess;
  /** Puts a shell script on PATH. */
  stub(program: string, script: string): void;
  remove(program: string): void;
}

/** A project whose packages are in place, with python3 and a compiler, and nothing else set up. */
export function scratchProject(): ScratchProject {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'clm-setup-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const [directory, programs, cache] = ['clone', 'programs', 'cache'].map((name) => path.join(folder, name)) as [
    string,
    string,
    string,
  ];
  mkdirSync(path.join(directory, tfjs), { recursive: true });
  for (const folder of ['src/cli', 'dist']) mkdirSync(path.join(directory, folder), { recursive: true });
  mkdirSync(programs);
  for (const part of ['bin', 'scripts', 'native', 'tsconfig.json', `${tfjs}/package.json`]) {
    cpSync(path.join(projectDirectory, part), path.join(directory, part), { recursive: true });
  }
  for (const linked of [
    `${tfjs}/binding`,
    'node_modules/node-api-headers',
    'node_modules/@tensorflow/tfjs-core',
    'node_modules/rolldown',
    'node_modules/typescript',
    'node_modules/@types',
    'dist/vendor', // takes a second or two to make
  ]) {
    symlinkSync(path.join(projectDirectory, linked), path.join(directory, linked));
  }
  writeFileSync(path.join(directory, 'package.json'), '{"name":"clm","type":"module"}');
  writeFileSync(path.join(directory, 'src/cli/main.ts'), "console.log('built');\n");
  writeFileSync(path.join(directory, 'src/old.ts'), 'export const old = 1;\n');
  const packages = { [tfjs]: { version: '4.22.0' }, 'node_modules/typescript': { version: '7.0.2' } };
  writeFileSync(path.join(directory, 'package-lock.json'), JSON.stringify({ packages: { '': {}, ...packages } }));
  writeFileSync(path.join(directory, 'node_modules/.package-lock.json'), JSON.stringify({ packages }));

  const stub = (program: string, script: string): void => {
    writeFileSync(path.join(programs, program), `#!/bin/sh\n${script}\n`);
    chmodSync(path.join(programs, program), 0o755);
  };
  symlinkSync(process.execPath, path.join(programs, 'node'));
  stub('python3', `exec '${realPython}' "$@"`);
  stub('c++', compilerThatCopies(readInstallation().bindingPath));
  const environmentOf = (more: Record<string, string>): NodeJS.ProcessEnv => ({
    ...{ PATH: programs, HOME: folder, XDG_CACHE_HOME: cache },
    ...more,
  });
  return {
    ...{ directory, cache, stub },
    start: (file, argumentList = []) =>
      spawn(process.execPath, [path.join(directory, file), ...argumentList], { env: environmentOf({}) }),
    remove: (program) => rmSync(path.join(programs, program)),
    setUp: (argumentList = [], environment = {}) => {
      const env = environmentOf(environment);
      const setUp = [path.join(directory, 'scripts/setup.mjs'), ...argumentList];
      const { status, stdout, stderr } = spawnSync(process.execPath, setUp, { env, encoding: 'utf8' });
      return { status, output: stdout + stderr };
    },
  };
}

/** python3 whose pip fails with this output; all else of it works. */
export const pythonWithFailingPip = (output: string): string =>
  `if [ "$2" = pip ]; then echo "${output}" >&2; exit 1; fi; exec '${realPython}' "$@"`;

/** A compiler whose output (its last argument) is the given file. */
export const compilerThatCopies = (file: string): string =>
  `for last; do :; done; PATH=/usr/bin:/bin; echo compiled >> "$HOME/compilations"; cp '${file}' "$last"`;

/** Where the set-up of a scratch project keeps the libraries of a device. */
export function librariesOf({ directory, cache }: ScratchProject, device: Device): ReturnType<typeof locateLibraries> {
  return locateLibraries(directory, path.join(cache, 'clm'), process, device);
}

/** Puts this machine's libraries for the CPU into the scratch cache as those of `device`, by links. */
export function fillCache(project: ScratchProject, device: Device = 'cpu'): void {
  const { folder, set, libraryDirectory } = librariesOf(project, device);
  const real = readInstallation().libraryDirectory;
  mkdirSync(libraryDirectory, { recursive: true });
  for (const part of [...set.libraries, 'include'])
    symlinkSync(path.join(real, part), path.join(libraryDirectory, part));
  cpSync(path.join(real, '../../manifest.json'), path.join(folder, 'manifest.json'));
}

/** How often the stub of the compiler ran. */
export function compilations({ directory }: ScratchProject): number {
  try {
    return readFileSync(path.join(directory, '../compilations'), 'utf8').split('\n').length - 1;
  } catch {
    return 0;
  }
}

export function bindingOf(project: ScratchProject, device: Device = 'cpu'): ReturnType<typeof locateBinding> {
  return locateBinding(project.directory, librariesOf(project, device));
}

export function installationOf({ directory }: ScratchProject): ReturnType<typeof readInstallation> {
  return readInstallation(directory);
}
