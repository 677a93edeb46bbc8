/** The first use of a package unpacks libtensorflow into the cache folder, whatever happens meanwhile. */
import { spawn } from 'node:child_process';
import fs, {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { cachedCopies, clearCopies } from '../../../src/runtime/installation/cacheFolder.ts';
import { notices } from '../../../src/runtime/installation/notices.ts';
import { readInstallation } from '../../../src/runtime/installation/readInstallation.ts';
import { useTemporaryFolder } from '../../temporaryFolder.ts';
import { changeManifest, fakePackage, type FakePackage } from './fakePackage.ts';

const scratchFolder = useTemporaryFolder();
let scratch: string;
let cache: string;
beforeEach(() => {
  scratch = scratchFolder();
  cache = path.join(scratch, 'cache/clm');
  vi.stubEnv('XDG_CACHE_HOME', path.dirname(cache));
});
afterEach(() => void vi.unstubAllEnvs());

const newPackage = (name = 'package', version?: string, library?: Buffer<ArrayBuffer>): FakePackage =>
  fakePackage(path.join(scratch, name), version, library);

/** The shares that are reported while `directory` is opened. */
function sharesWhileOpening({ directory }: FakePackage): number[] {
  const shares: number[] = [];
  const former = notices.unpacking;
  notices.unpacking = (_, __, share) => void shares.push(share);
  try {
    readInstallation(directory);
  } finally {
    notices.unpacking = former;
  }
  return shares;
}

function expectWhole({ directory, contents }: FakePackage): void {
  const { libraryDirectory, bindingPath, kernelsPath } = readInstallation(directory);
  for (const [name, content] of contents)
    expect(readFileSync(path.join(libraryDirectory, name)).equals(content), name).toBe(true);
  for (const file of [bindingPath, kernelsPath]) expect(path.dirname(file)).toBe(libraryDirectory);
  expect(readFileSync(bindingPath, 'utf8')).toMatch(/^binding of/);
  expect(readFileSync(kernelsPath, 'utf8')).toMatch(/^kernels of/);
}

/** Opens a package in a process of its own that kills itself once `share` has been unpacked; never without one. */
const openInProcess = ({ directory }: FakePackage, share = Infinity) =>
  new Promise<NodeJS.Signals | number | null>((resolve) => {
    const script = `
      const { notices } = await import('#clm/runtime/installation/notices.js');
      const { readInstallation } = await import('#clm/runtime/installation/readInstallation.js');
      notices.unpacking = (folder, bytes, share) => { if (share >= ${share}) process.kill(process.pid, 'SIGKILL'); };
      readInstallation(${JSON.stringify(directory)});`;
    const root = path.resolve(import.meta.dirname, '../../..');
    spawn(process.execPath, ['--input-type=module', '-e', script], { cwd: root }) // #clm is in dist/
      .on('close', (code, signal) => resolve(signal ?? code));
  });

it('unpacks once, reports how far it is, and then starts without', () => {
  const fake = newPackage();
  const shares = sharesWhileOpening(fake);
  expect(shares[0]).toBe(0);
  expect(shares.at(-1)).toBe(1);
  expect(shares).toEqual([...shares].sort());
  expect(shares.length).toBeGreaterThan(4);
  expectWhole(fake);
  expect(sharesWhileOpening(fake)).toEqual([]);
});

it.each([0, 0.3, 0.9, 1])('a kill when %d of it is unpacked: the next start unpacks and clears up', async (share) => {
  const fake = newPackage();
  expect(await openInProcess(fake, share)).toBe('SIGKILL');
  expect(readdirSync(cache)).toHaveLength(1);
  expectWhole(fake);
  expect(readdirSync(cache).filter((name) => name.includes('partial'))).toEqual([]);
});

it('several at once all succeed and leave one copy', async () => {
  const fake = newPackage();
  expect(await Promise.all([1, 2, 3].map(() => openInProcess(fake)))).toEqual([0, 0, 0]);
  expect(readdirSync(cache)).toHaveLength(1);
  expectWhole(fake);
});

describe('what cannot be unpacked is said, with what to do, and leaves nothing behind', () => {
  const expectFailure = ({ directory }: FakePackage, message: RegExp): void => {
    expect(() => readInstallation(directory)).toThrow(
      expect.objectContaining({ exitCode: 3, message: expect.stringMatching(message) }),
    );
    expect(existsSync(cache) ? readdirSync(cache) : []).toEqual([]);
  };

  it('less space than needed', () => {
    const fake = newPackage();
    changeManifest(fake, ({ libraries }) => (libraries[0]!.bytes = 1e17));
    expectFailure(fake, /disk is too full .* \(1e\+?11 MB|disk is too full .* \(\d+ MB are needed, \d+ MB are free\)/);
  });

  it.each([
    ['ENOSPC', /disk is too full .*free some space, or set XDG_CACHE_HOME/],
    ['EROFS', /cannot be unpacked into .*set XDG_CACHE_HOME/],
    ['EACCES', /cannot be unpacked into .*Make it writable/],
  ])('%s while it is written', (code, message) => {
    const fake = newPackage();
    const real = fs.writeSync;
    let calls = 0;
    const restore = (): void => {
      fs.writeSync = real;
      syncBuiltinESMExports();
    };
    fs.writeSync = (() => {
      calls++;
      throw Object.assign(new Error(`${code}: refused`), { code });
    }) as typeof real;
    syncBuiltinESMExports();
    onTestFinished(restore);
    expectFailure(fake, message);
    expect(calls).toBe(1);
  });

  it('a cache folder that cannot be made', () => {
    writeFileSync(path.join(scratch, 'file'), '');
    vi.stubEnv('XDG_CACHE_HOME', path.join(scratch, 'file/below'));
    expectFailure(newPackage(), /cannot be unpacked into .*set XDG_CACHE_HOME/);
  });

  it.each([
    ['one flipped bit', (content: Buffer) => content.fill(content[7]! ^ 1, 7, 8)],
    ['a cut file', (content: Buffer) => content.subarray(0, -3)],
    ['other content', (content: Buffer) => Buffer.from(content).fill(0)],
  ])('a damaged package: %s', (_, damage) => {
    const fake = newPackage();
    const file = path.join(fake.folder, 'liblarge.so.br');
    writeFileSync(file, damage(readFileSync(file)));
    expectFailure(fake, /liblarge\.so\.br is damaged\. Install clm again/);
  });
});

it('a damaged small file of the package is said', () => {
  const fake = newPackage();
  const name = readdirSync(fake.folder).find((each) => each.startsWith('binding-'))!;
  writeFileSync(path.join(fake.folder, name), 'xinding of 1.2.3');
  expect(() => readInstallation(fake.directory)).toThrow(/binding-\w+ is damaged/);
});

it('a copy in the cache that somebody has cut is replaced', () => {
  const fake = newPackage();
  const { libraryDirectory, kernelsPath } = readInstallation(fake.directory);
  truncateSync(path.join(libraryDirectory, 'liblarge.so'), 100);
  expectWhole(fake);
  truncateSync(kernelsPath, 3);
  expectWhole(fake);
});

describe('two versions in one cache', () => {
  it('share libraries that are the same, and have their own kernels', () => {
    const older = newPackage('older', '1.0.0', Buffer.alloc(1000, 'x'));
    const newer = newPackage('newer', '1.1.0', Buffer.alloc(1000, 'x'));
    expectWhole(older);
    expect(sharesWhileOpening(newer)).toEqual([]);
    expectWhole(newer);
    expectWhole(older);
    expect(readdirSync(cache)).toHaveLength(1);
  });

  it('have a copy each of other libraries; clearing keeps the one in use and those of clones', () => {
    const [older, newer] = [newPackage('older', '1.0.0'), newPackage('newer', '2.0.0')];
    const old = readInstallation(older.directory).libraryDirectory;
    const used = readInstallation(newer.directory).libraryDirectory;
    const clone = path.join(cache, 'tensorflow-2.21.0-linux-x64-cpu-abc');
    const remains = `${old}.partial-0123456789ab-7-xyz`;
    for (const folder of [clone, remains, path.join(cache, 'clones')]) mkdirSync(folder);
    const longAgo = new Date('2020-01-02');
    fs.utimesSync(remains, longAgo, longAgo);
    expect(cachedCopies(cache).map(({ path: folder, kind }) => [folder, kind])).toEqual(
      expect.arrayContaining([
        [old, 'package'],
        [used, 'package'],
        [clone, 'clone'],
        [remains, 'remains'],
      ]),
    );
    const bytes = cachedCopies(cache).find(({ path: folder }) => folder === used)!.bytes;
    expect(bytes).toBe(readdirSync(used).reduce((sum, name) => sum + statSync(path.join(used, name)).size, 0));
    expect(
      clearCopies(used, cache)
        .map(({ path: folder }) => folder)
        .sort(),
    ).toEqual([old, remains].sort());
    expect(readdirSync(cache).sort()).toEqual([path.basename(used), 'clones', path.basename(clone)].sort());
    expectWhole(newer);
    expectWhole(older);
  });
});

it('leaves alone what another machine is unpacking now', () => {
  const fake = newPackage();
  mkdirSync(cache, { recursive: true });
  const others = path.join(cache, 'libtensorflow-9.9.9-x.partial-0123456789ab-7-xyz');
  mkdirSync(others);
  expectWhole(fake);
  expect(existsSync(others)).toBe(true);
  rmSync(others, { recursive: true });
});
