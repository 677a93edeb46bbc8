import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { diskFailure } from '../../src/storage/diskFailure.ts';
import {
  makeFolder,
  removeFolder,
  removeLeftovers,
  writeFileDurably,
  writeFolderDurably,
} from '../../src/storage/durable.ts';
import { failureOf, useTemporaryFolder } from '../temporaryFolder.ts';

const folder = useTemporaryFolder();

const systemError = (code: string) => Object.assign(new Error(`${code}: made up`), { code });

describe('files', () => {
  it('are written and replaced, leaving nothing else', async () => {
    const path = join(folder(), 'deep', 'er', 'file.txt');
    await writeFileDurably(path, 'old');
    await writeFileDurably(path, 'new');
    expect(await readFile(path, 'utf8')).toBe('new');
    expect(await readdir(join(folder(), 'deep', 'er'))).toEqual(['file.txt']);
  });

  it('do not replace a folder', async () => {
    const path = join(folder(), 'taken');
    await mkdir(path);
    await expect(writeFileDurably(path, 'x')).rejects.toThrow(`${path} is a folder, not a file.`);
    await writeFile(join(folder(), 'text'), '');
    await expect(writeFileDurably(join(folder(), 'text/x'), 'x')).rejects.toThrow('is a file, not a folder');
    await rm(join(folder(), 'text'));
    expect(await readdir(folder())).toEqual(['taken']);
  });
});

describe('folders', () => {
  const path = () => join(folder(), 'thing');
  const write = (text: string) => writeFolderDurably(path(), (place) => writeFile(join(place, 'file'), text));

  it('are created and replaced', async () => {
    await write('old');
    await write('new');
    expect(await readFile(join(path(), 'file'), 'utf8')).toBe('new');
    expect(await readdir(folder())).toEqual(['thing']);
  });

  const refusals = ['ENOSPC', 'EROFS', 'EACCES', 'EDQUOT'];
  it.each(refusals)('stay unchanged on %s, with a message that says what to do', async (code) => {
    await write('old');
    let begun = false;
    const failure = await failureOf(
      writeFolderDurably(path(), async (place) => {
        await writeFile(join(place, 'file'), 'half');
        begun = true;
        throw systemError(code);
      }),
    );
    expect(begun).toBe(true);
    expect(failure.kind).toBe('environment');
    expect(failure.message).toContain(path());
    expect(failure.message).not.toContain('unfinished');
    expect(await readFile(join(path(), 'file'), 'utf8')).toBe('old');
    expect(await readdir(folder())).toEqual(['thing']);
  });

  it.skipIf(!existsSync('/proc'))('are refused where the file system does not allow them', async () => {
    const failure = await failureOf(makeFolder('/proc/clm/deep'));
    expect(failure).toMatchObject({
      kind: 'environment',
      message: expect.stringContaining('/proc/clm: its file system does not allow it'),
    });
  });

  it('are refused if the name is too long', async () => {
    const failure = await failureOf(makeFolder(join(folder(), 'x'.repeat(300), 'deep')));
    expect(failure).toMatchObject({
      kind: 'wrongInput',
      message: expect.stringContaining('is too long for a path on this file system'),
    });
    expect(await readdir(folder())).toEqual([]);
  });

  it.skipIf(!existsSync('/dev/full'))('report a disk that is really full', async () => {
    const failure = await failureOf(writeFolderDurably(path(), () => writeFile('/dev/full', 'x')));
    expect(failure.kind).toBe('environment');
    expect(failure.message).toContain('the disk is full');
    expect(await readdir(folder())).toEqual([]);
  });

  it('pass other errors on', async () => {
    const bug = new Error('a bug');
    await expect(writeFolderDurably(path(), () => Promise.reject(bug))).rejects.toBe(bug);
    expect(await readdir(folder())).toEqual([]);
  });

  it('are deleted', async () => {
    await write('old');
    await removeFolder(path());
    expect(await readdir(folder())).toEqual([]);
  });

  it('are created with their parents, unless they exist', async () => {
    const deep = join(folder(), 'a', 'b', 'c');
    await makeFolder(deep);
    await makeFolder(deep);
    expect(await readdir(join(folder(), 'a', 'b'))).toEqual(['c']);
  });
});

describe('leftovers', () => {
  it('are deleted, and nothing else', async () => {
    await mkdir(join(folder(), '.step-00000002.clm-unfinished-41-lx3-0'));
    await writeFile(join(folder(), '.step-00000002.clm-unfinished-41-lx3-0', 'model.safetensors'), 'half');
    await mkdir(join(folder(), '.step-00000001.clm-removed-41-lx3-1'));
    await writeFile(join(folder(), '.metrics.jsonl.clm-unfinished-41-lx3-2'), 'half');
    const others = ['.hidden', '.notes.clm-unfinished', 'step-00000003', 'x.clm-unfinished-1-2-3'];
    for (const other of others) await writeFile(join(folder(), other), '');
    expect(await removeLeftovers(folder())).toHaveLength(3);
    expect((await readdir(folder())).sort()).toEqual(others);
    expect(await removeLeftovers(folder())).toEqual([]);
    expect(await removeLeftovers(join(folder(), 'absent'))).toEqual([]);
  });

  it('of a replacement interrupted between its two renames are restored', async () => {
    const replaced = join(folder(), '.thing.clm-replaced-41-lx3-0');
    await mkdir(replaced);
    await writeFile(join(replaced, 'file'), 'old');
    await mkdir(join(folder(), '.thing.clm-unfinished-41-lx3-1'));
    await removeLeftovers(folder());
    expect(await readdir(folder())).toEqual(['thing']);
    expect(await readFile(join(folder(), 'thing', 'file'), 'utf8')).toBe('old');
  });

  it('of a replacement interrupted after them are deleted', async () => {
    await mkdir(join(folder(), '.thing.clm-replaced-41-lx3-0'));
    await mkdir(join(folder(), 'thing'));
    await writeFile(join(folder(), 'thing', 'file'), 'new');
    await removeLeftovers(folder());
    expect(await readdir(folder())).toEqual(['thing']);
    expect(await readFile(join(folder(), 'thing', 'file'), 'utf8')).toBe('new');
  });
});

describe('diskFailure', () => {
  it.each(['EACCES', 'EBUSY', 'EIO'])('a failed write (%s) stays one while another file is read for it', (code) => {
    const inner = diskFailure(systemError(code), 'write', '/exported') as Error;
    expect(inner.message).toContain('Cannot write /exported');
    expect(diskFailure(inner, 'read', '/models/model.safetensors')).toBe(inner);
  });

  it('names the file that could not be read, not the file being written from it', () => {
    const inner = diskFailure(systemError('EIO'), 'read', '/models/model.safetensors');
    expect((inner as Error).message).toContain('Cannot read /models/model.safetensors');
    expect(diskFailure(inner, 'write', '/run/checkpoints/step-00000000')).toBe(inner);
  });

  it('rewords an ExpectedError with the outer path, and passes on unknown errors', () => {
    const inner = diskFailure(systemError('ENOSPC'), 'write', '/run/.x.clm-unfinished-1-2-3/model.safetensors');
    const outer = diskFailure(inner, 'write', '/run/x');
    expect(outer).toMatchObject({ kind: 'environment', exitCode: 3 });
    expect(String(outer)).toContain('Cannot write /run/x: the disk is full');
    const unknown = systemError('EXDEV');
    expect(diskFailure(unknown, 'read', '/x')).toBe(unknown);
  });
});
