/**
 * The npm package that holds libtensorflow, tfjs-node's binding and clm's kernels for one platform (scripts/package
 * makes it). npm chooses it by `optionalDependencies` of clm's own package.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { environmentFailure, type ExpectedError } from '../../errors.ts';
import type { UsableInstallation } from './installation.ts';
import { findNvidiaDriver } from './nvidiaDriver.ts';
import { unpackedFolder, type Manifest } from './unpack.ts';

export interface PackageJson {
  version: string;
  /** The packages for platforms: clm's, all of the version of clm itself, and koffi's. A clone has none. */
  optionalDependencies?: Record<string, string>;
}

/** @throws environment failure if there is no package for this machine, or it cannot be unpacked */
export function packagedInstallation(directory: string, own: PackageJson): UsableInstallation {
  const platform = `${process.platform}-${process.arch}`;
  const folder = platformFolder(directory, own, platform);
  const manifest = JSON.parse(readFileSync(path.join(folder, 'manifest.json'), 'utf8')) as Manifest;
  const libraryDirectory = unpackedFolder(folder, manifest);
  const driver = findNvidiaDriver();
  const cudaRemedy =
    'clm from npm computes on the processor only; for the GPU, get the source code of clm and run ' +
    '"npm run setup -- --device cuda" in it';
  return {
    tensorflowVersion: manifest.tensorflowVersion,
    device: 'cpu',
    why: driver === undefined ? 'no NVIDIA driver was found' : `an NVIDIA driver was found (${driver}), but no CUDA`,
    libraryDirectory,
    bindingPath: path.join(libraryDirectory, manifest.binding.name),
    kernelsPath: path.join(libraryDirectory, manifest.kernels.name),
    remedy: `delete ${libraryDirectory} and try again`,
    cudaRemedy,
    ...(driver !== undefined && {
      warning: `an NVIDIA driver was found (${driver}), but ${cudaRemedy}. --device cpu stops this warning.`,
    }),
  };
}

function platformFolder(directory: string, { version, optionalDependencies = {} }: PackageJson, platform: string) {
  const name = `@clm/${platform}`;
  let file: string;
  try {
    file = createRequire(path.join(directory, 'package.json')).resolve(`${name}/package.json`);
  } catch {
    throw missingPackage(name, version, Object.keys(optionalDependencies));
  }
  const found = (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
  if (found !== version) {
    throw environmentFailure(
      `${name} is of version ${found}, but clm of version ${version} (${path.dirname(file)}). ` +
        `Install clm again, without a version of ${name} of your own: npm install clm@${version}`,
    );
  }
  return path.dirname(file);
}

function missingPackage(name: string, version: string, packages: readonly string[]): ExpectedError {
  const own = packages.filter((each) => each.startsWith('@clm/'));
  const platforms = own.map((each) => each.replace('@clm/', '')).join(', ');
  if (!packages.includes(name)) {
    const wsl = process.platform === 'win32' ? ' On Windows, use WSL2 (wsl --install).' : '';
    return environmentFailure(
      `clm has no package for ${process.platform} on ${process.arch}, only for ${platforms}.${wsl} ` +
        'On macOS with Apple silicon, clm works from its source code (npm run setup).',
    );
  }
  if (process.platform === 'linux' && !hasGlibc()) {
    return environmentFailure(
      'clm needs a Linux with glibc 2.28 or newer, as Debian 10, Ubuntu 20.04 and newer ones have; this one has musl ' +
        '(as Alpine). In Docker, use the image node:22-slim, for example.',
    );
  }
  return environmentFailure(
    `The package ${name} is not installed, which holds TensorFlow for this machine. Optional packages were left out ` +
      '(--omit=optional, --no-optional), or node_modules comes from another machine. Install clm with them: ' +
      `npm install --include=optional clm@${version} (with -g if clm is a global command)`,
  );
}

function hasGlibc(): boolean {
  // Without this, the report looks up the names of all network peers.
  (process.report as { excludeNetwork?: boolean }).excludeNetwork = true;
  return 'glibcVersionRuntime' in (process.report.getReport() as { header: object }).header;
}
