// Which libtensorflow is taken, for the CPU or for CUDA, and why. The choice is a pure function of probed facts.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { SetupFailure, exitCodes } from './failure.mjs';

/** @typedef {'cpu' | 'cuda'} Device */
/** What was asked for, with the words that say where. @typedef {{ device: string, why: string }} Request */
/** @typedef {{ device: Device, why: string, request: Request | undefined }} DeviceChoice */

const names = ['auto', 'cpu', 'cuda'];

/**
 * The device to set up: `--device`, else CLM_DEVICE, else what an earlier set-up of this clone was asked for, else CUDA
 * where a driver is found, else the CPU. `auto` at any of these goes on to the driver. `request` is what the next
 * set-up without a wish should keep, undefined for none.
 * @param {{ platform: string, arch: string, option?: string, environment?: string, kept?: Request,
 *   findDriver: () => string | undefined }} facts `findDriver` says where a driver was found; called only when needed
 * @returns {DeviceChoice}
 * @throws SetupFailure for unknown names, and for CUDA where there is none
 */
export function chooseDevice({ platform, arch, option, environment, kept, findDriver }) {
  const request = wish('--device', option) ?? wish('CLM_DEVICE', environment || undefined) ?? kept;
  const hasCuda = platform === 'linux' && arch === 'x64';
  if (request?.device === 'cuda' && !hasCuda) {
    throw new SetupFailure(
      `CUDA was ${request.why}, but TensorFlow offers it in wheels for Linux x86-64 only, not for ${platform} on ` +
        `${arch}: use --device cpu.`,
    );
  }
  if (request?.device === 'cpu' || request?.device === 'cuda') {
    return { device: request.device, why: request.why, request };
  }
  const driver = platform === 'linux' ? findDriver() : undefined;
  if (driver === undefined) return { device: 'cpu', why: 'no NVIDIA driver was found', request: undefined };
  if (!hasCuda) {
    const why = `an NVIDIA driver was found (${driver}), but TensorFlow has no CUDA wheel for ${platform} on ${arch}`;
    return { device: 'cpu', why, request: undefined };
  }
  return { device: 'cuda', why: `an NVIDIA driver was found (${driver})`, request: undefined };
}

/**
 * @param {string} source
 * @param {string | undefined} device
 * @returns {Request | undefined}
 */
function wish(source, device) {
  if (device === undefined) return undefined;
  if (!names.includes(device)) {
    throw new SetupFailure(`${source} must be one of ${names.join(', ')}, not "${device}".`, exitCodes.wrongUsage);
  }
  return { device, why: `asked for with ${source} ${device}` };
}

/** Where an NVIDIA driver is found on this Linux machine; undefined where there is none. */
export function findNvidiaDriver() {
  const kernelModule = '/proc/driver/nvidia/version';
  if (existsSync(kernelModule)) return kernelModule;
  const folders = [
    ...(process.env.LD_LIBRARY_PATH ?? '').split(':').filter((folder) => folder !== ''),
    ...['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib64', '/usr/lib', '/usr/lib/wsl/lib'],
  ];
  const library = folders.map((folder) => path.join(folder, 'libcuda.so.1')).find((file) => existsSync(file));
  if (library !== undefined) return library;
  const ldconfig = ['/sbin/ldconfig', '/usr/sbin/ldconfig'].find((file) => existsSync(file));
  if (ldconfig === undefined) return undefined;
  const { stdout } = spawnSync(ldconfig, ['-p'], { encoding: 'utf8' });
  return /libcuda\.so\.1 .*=> (.*)/.exec(stdout ?? '')?.[1];
}
