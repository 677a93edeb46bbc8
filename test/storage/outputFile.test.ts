import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
} from 'node:fs';
import { symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { linkTarget, writeOutputFile } from '../../src/storage/outputFile.ts';
import { useTemporaryFolder } from '../temporaryFolder.ts';

const folder = useTemporaryFolder();
const at = (name: string): string => join(folder(), name);
const read = (name: string): string => readFileSync(at(name), 'utf8');

it('a link is written through, also one of several and one that leads nowhere yet', async () => {
  mkdirSync(at('site'));
  writeFileSync(at('site/page.html'), 'old');
  symlinkSync('site/page.html', at('relative'));
  symlinkSync(at('relative'), at('twice'));
  symlinkSync('site/new.html', at('dangling'));
  for (const [name, target] of [
    ['relative', 'site/page.html'],
    ['twice', 'site/page.html'],
    ['dangling', 'site/new.html'],
  ]) {
    await writeOutputFile(at(name!), name!);
    expect([read(target!), lstatSync(at(name!)).isSymbolicLink()]).toEqual([name, true]);
  }
  expect(readlinkSync(at('dangling'))).toBe('site/new.html');
  expect(readdirSync(at('site')).sort()).toEqual(['new.html', 'page.html']);
});

it('links in a circle are named', async () => {
  symlinkSync('b', at('a'));
  symlinkSync('a', at('b'));
  await expect(writeOutputFile(at('a'), 'x')).rejects.toThrow('its links form a loop');
  expect(() => linkTarget(at('b'))).toThrow('its links form a loop');
});

it('the other name of a hard link has the new contents too', async () => {
  writeFileSync(at('one'), 'a longer old text');
  linkSync(at('one'), at('other'));
  await writeOutputFile(at('one'), 'new');
  expect([read('one'), read('other')]).toEqual(['new', 'new']);
});

it('a file is enough where its folder may not be written', () => {
  mkdirSync(at('shared'));
  writeFileSync(at('shared/page.html'), 'old');
  chmodSync(at('shared/page.html'), 0o666);
  chmodSync(at('shared'), 0o555);
  chmodSync(folder(), 0o755);
  const module = fileURLToPath(new URL('../../dist/storage/outputFile.js', import.meta.url));
  // Root may write everywhere, so that the program gives up being root.
  const program = `const { writeOutputFile } = await import(${JSON.stringify(module)});
    if (process.getuid() === 0) process.setuid(65534);
    await writeOutputFile(process.argv[1], 'new');
    await writeOutputFile(process.argv[2], 'new').catch((error) => console.log(error.message));`;
  const args = ['--input-type=module', '-e', program, at('shared/page.html'), at('shared/other.html')];
  expect(execFileSync(process.execPath, args, { encoding: 'utf8' })).toContain('other.html: permission denied');
  expect([read('shared/page.html'), existsSync(at('shared/other.html'))]).toEqual(['new', false]);
  chmodSync(at('shared'), 0o755);
});
