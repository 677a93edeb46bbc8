/** A package of clm without the right package for this platform names what to do. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { readInstallation } from '../../../src/runtime/installation/readInstallation.ts';
import { useTemporaryFolder } from '../../temporaryFolder.ts';
import { fakePackage, platform, type FakePackage } from './fakePackage.ts';

const scratchFolder = useTemporaryFolder();
let scratch: string;
let fake: FakePackage;
beforeEach(() => {
  scratch = scratchFolder();
  vi.stubEnv('XDG_CACHE_HOME', path.join(scratch, 'cache'));
  fake = fakePackage(path.join(scratch, 'package'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

const expectFailure = (message: RegExp): void =>
  expect(() => readInstallation(fake.directory)).toThrow(
    expect.objectContaining({ exitCode: 3, message: expect.stringMatching(message) }),
  );

it('left out by --omit=optional', () => {
  rmSync(fake.folder, { recursive: true });
  expectFailure(/@clm\/\S+ is not installed.*--omit=optional.*npm install --include=optional clm@1\.2\.3/);
});

it('of another version', () => {
  writeFileSync(path.join(fake.folder, 'package.json'), '{"version":"1.2.4"}');
  expectFailure(/is of version 1\.2\.4, but clm of version 1\.2\.3.*npm install clm@1\.2\.3/);
});

it('none for this platform', () => {
  rmSync(fake.folder, { recursive: true });
  const packages = { version: '1.2.3', optionalDependencies: { '@clm/plan9-mips': '1.2.3' } };
  writeFileSync(path.join(fake.directory, 'package.json'), JSON.stringify(packages));
  expectFailure(new RegExp(`no package for ${platform.replace('-', ' on ')}, only for plan9-mips`));
});

it('a Linux with musl', () => {
  if (process.platform !== 'linux') return;
  rmSync(fake.folder, { recursive: true });
  vi.spyOn(process.report, 'getReport').mockReturnValue({ header: {} });
  expectFailure(/needs a Linux with glibc .*musl .*Alpine.*node:22-slim/);
});

it('an NVIDIA driver: says how to get the CUDA build, as the reason, a warning and the remedy', () => {
  if (process.platform !== 'linux') return;
  const folder = path.join(scratch, 'driver');
  mkdirSync(folder);
  expect(readInstallation(fake.directory).warning).toBeUndefined();
  writeFileSync(path.join(folder, 'libcuda.so.1'), '');
  vi.stubEnv('LD_LIBRARY_PATH', folder);
  const { device, why, warning, cudaRemedy } = readInstallation(fake.directory);
  expect(device).toBe('cpu');
  expect(why).toMatch(/an NVIDIA driver was found \(.*libcuda\.so\.1\), but no CUDA/);
  for (const text of [warning, cudaRemedy]) expect(text).toContain('npm run setup -- --device cuda');
  expect(warning).toContain('--device cpu');
});
