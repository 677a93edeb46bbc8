// What the set-up leaves for clm and for its own next run: which libtensorflow is installed and why.

import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { fileHash, readJson, writeWhole } from './files.mjs';
import { librariesAreComplete } from './libtensorflow/libraries.mjs';
import { tensorflowVersion } from './libtensorflow/wheels.mjs';

/** Read by src/runtime/installation.ts, which names the same fields. */
const installationFile = 'node_modules/.clm-installation.json';

/**
 * @typedef {import('./libtensorflow/libraries.mjs').Libraries} Libraries
 * @typedef {import('./binding.mjs').Binding} Binding
 * @typedef {import('./kernels.mjs').Kernels} Kernels
 * @typedef {import('./device.mjs').DeviceChoice} DeviceChoice
 */

/**
 * Is all of this choice installed and recorded?
 * @param {string} root
 * @param {DeviceChoice} choice
 * @param {Libraries} libraries
 * @param {{ binding: Binding, kernels: Kernels }} compiled
 */
export function installationIsComplete(root, { device, why }, libraries, { binding, kernels }) {
  const recorded = readJson(path.join(root, installationFile));
  return (
    recorded !== undefined &&
    recorded.device === device &&
    recorded.why === why &&
    recorded.libraryDirectory === libraries.libraryDirectory &&
    recorded.bindingPath === binding.file &&
    recorded.bindingSha256 === fileHash(binding.file) &&
    recorded.kernelsPath === kernels.file &&
    recorded.kernelsSha256 === fileHash(kernels.file) &&
    librariesAreComplete(libraries)
  );
}

/**
 * @param {string} root
 * @param {DeviceChoice} choice
 * @param {Libraries} libraries
 * @param {{ binding: Binding, bindingSha256: string, kernels: Kernels, kernelsSha256: string | undefined }} compiled
 */
export function recordInstallation(root, { device, why }, libraries, compiled) {
  const { binding, bindingSha256, kernels, kernelsSha256 } = compiled;
  const installation = {
    ...{ tensorflowVersion, device, why, libraryDirectory: libraries.libraryDirectory },
    ...{ bindingPath: binding.file, bindingSha256, kernelsPath: kernels.file, kernelsSha256 },
  };
  writeWhole(path.join(root, installationFile), `${JSON.stringify(installation, undefined, 2)}\n`);
}

/**
 * The device that this clone was last asked to be set up for. It is kept outside node_modules, which npm empties.
 * @param {string} cloneFolder
 * @returns {import('./device.mjs').Request | undefined}
 */
export function keptRequest(cloneFolder) {
  return readJson(path.join(cloneFolder, 'device.json')) ?? undefined;
}

/**
 * @param {string} cloneFolder
 * @param {import('./device.mjs').Request | undefined} request undefined for "none: probe"
 */
export function keepRequest(cloneFolder, request) {
  mkdirSync(cloneFolder, { recursive: true });
  writeWhole(path.join(cloneFolder, 'device.json'), JSON.stringify(request ?? null));
}
