import { describe, expect, test } from 'vitest';
import { cacheFolder, requireFreeSpace } from '../../scripts/setup/cache.mjs';
import { machineFacts, requireSupportedMachine } from '../../scripts/setup/platform.mjs';

const machine = { platform: 'linux', arch: 'x64', nodeVersion: '20.19.0', glibcVersion: '2.27' };
const mac = { ...machine, platform: 'darwin', arch: 'arm64', glibcVersion: undefined };

describe('the machine', () => {
  test('of this test is known and supported', () => {
    expect(machineFacts().nodeVersion).toBe(process.versions.node);
    expect(() => requireSupportedMachine(machineFacts())).not.toThrow();
  });

  test.each([machine, { ...machine, arch: 'arm64' }, mac, { ...machine, nodeVersion: '26.1.0', glibcVersion: '2.40' }])(
    'supported: %o',
    (facts) => {
      expect(() => requireSupportedMachine(facts)).not.toThrow();
    },
  );

  test.each([
    [{ ...machine, nodeVersion: '20.18.9' }, /Node 20\.19 or newer, this is 20\.18\.9: install/],
    [{ ...machine, nodeVersion: '18.20.0' }, /Node 20\.19/],
    [{ ...machine, platform: 'win32' }, /WSL2/],
    [{ ...machine, platform: 'freebsd' }, /no TensorFlow for freebsd on x64: use Linux/],
    [{ ...machine, arch: 'ia32' }, /no TensorFlow for linux on ia32/],
    [{ ...mac, arch: 'x64' }, /Apple silicon/],
    [{ ...machine, glibcVersion: undefined }, /not Alpine/],
    [{ ...machine, glibcVersion: '2.17' }, /glibc 2\.27 or newer, this system has 2\.17/],
  ])('refused: %o', (facts, message) => {
    expect(() => requireSupportedMachine(facts)).toThrow(expect.objectContaining({ exitCode: 3 }));
    expect(() => requireSupportedMachine(facts)).toThrow(message);
  });
});

describe('the cache folder', () => {
  test('follows the XDG convention', () => {
    expect(cacheFolder({ XDG_CACHE_HOME: '/var/c' }, '/home/u')).toBe('/var/c/clm');
    expect(cacheFolder({}, '/home/u')).toBe('/home/u/.cache/clm');
    expect(cacheFolder({ XDG_CACHE_HOME: 'relative' }, '/home/u')).toBe('/home/u/.cache/clm');
  });

  test('may not have a colon in its path', () => {
    expect(() => cacheFolder({ XDG_CACHE_HOME: '/a:b' }, '/home/u')).toThrow(/colon.*set XDG_CACHE_HOME/);
  });

  test('without room is refused before anything is fetched', () => {
    expect(() => requireFreeSpace('/', 1)).not.toThrow();
    expect(() => requireFreeSpace('/', 1e18)).toThrow(
      /too full .*1000000000\.0 GB are needed.* are free\): free some space/,
    );
  });
});
