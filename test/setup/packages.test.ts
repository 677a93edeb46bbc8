import { describe, expect, test } from 'vitest';
import { packagesAreInstalled, sameLockedPackages } from '../../scripts/setup/packages.mjs';
import { projectDirectory } from './scratchProject.ts';

const machine = { platform: 'linux', arch: 'x64' };
const plain = { version: '1.2.3', integrity: 'sha512-a' };
const locked = {
  '': { version: '0.1.0' },
  'node_modules/plain': plain,
  'node_modules/native-linux': { version: '1.0.0', optional: true, os: ['linux'], cpu: ['x64'], libc: ['glibc'] },
  'node_modules/native-musl': { version: '1.0.0', optional: true, os: ['linux'], cpu: ['x64'], libc: ['musl'] },
  'node_modules/native-mac': { version: '1.0.0', optional: true, os: ['darwin'], cpu: ['arm64'] },
  'node_modules/native-wasm': { version: '1.0.0', optional: true, cpu: ['wasm32'] },
  // Needed by the one for WebAssembly alone; names no machine itself. Counting it as missing ran npm ci each time.
  'node_modules/helper-of-wasm': { version: '2.0.0', optional: true },
};
const installed = { 'node_modules/plain': plain, 'node_modules/native-linux': locked['node_modules/native-linux'] };

describe('installed packages', () => {
  test('of this clone are those of its lock file', () => {
    expect(packagesAreInstalled(projectDirectory)).toBe(true);
  });

  test('are the locked ones when only those for other machines are missing', () => {
    expect(sameLockedPackages(locked, installed, machine)).toBe(true);
  });

  test('are not when one for this machine is missing', () => {
    expect(sameLockedPackages(locked, { 'node_modules/plain': plain }, machine)).toBe(false);
    expect(sameLockedPackages(locked, installed, { platform: 'darwin', arch: 'arm64' })).toBe(false);
  });

  test('are not when a plain one is missing, differs, or is one too many', () => {
    const { 'node_modules/plain': _, ...withoutPlain } = installed;
    expect(sameLockedPackages(locked, withoutPlain, machine)).toBe(false);
    for (const other of [
      { ...plain, version: '1.2.4' },
      { ...plain, integrity: 'sha512-b' },
    ]) {
      expect(sameLockedPackages(locked, { ...installed, 'node_modules/plain': other }, machine)).toBe(false);
    }
    expect(sameLockedPackages(locked, { ...installed, 'node_modules/more': plain }, machine)).toBe(false);
  });
});
