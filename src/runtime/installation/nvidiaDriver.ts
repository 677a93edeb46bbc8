/** Looks for an NVIDIA driver, as scripts/setup/device.mjs does for a clone, without starting a program. */
import { existsSync } from 'node:fs';
import path from 'node:path';

const folders = [
  '/usr/lib/x86_64-linux-gnu',
  '/usr/lib/aarch64-linux-gnu',
  '/usr/lib64',
  '/usr/lib',
  '/usr/lib/wsl/lib',
];

/** Where a driver is found on this Linux machine; undefined if there is none. */
export function findNvidiaDriver(): string | undefined {
  if (process.platform !== 'linux') return undefined;
  const ownFolders = (process.env['LD_LIBRARY_PATH'] ?? '').split(':').filter((folder) => folder !== '');
  const libraries = [...ownFolders, ...folders].map((folder) => path.join(folder, 'libcuda.so.1'));
  return ['/proc/driver/nvidia/version', ...libraries].find((file) => existsSync(file));
}
