import { mkdir, readdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { saveCheckpoint } from '../../src/checkpoint/checkpoint.ts';
import { commitOf, describeEnvironment, withoutCredentials } from '../../src/run/environment.ts';
import { readBounded } from '../../src/storage/boundedFile.ts';
import { assertFreshStart, clearLeftovers, createRunDirectory, directoryState } from '../../src/run/runDirectory.ts';
import { runPaths } from '../../src/run/runPaths.ts';
import { failureOf, smallCheckpoint, useTemporaryFolder } from '../temporaryFolder.ts';

const folder = useTemporaryFolder();
const run = () => join(folder(), 'runs', 'one');
const device = { name: 'cpu', reason: 'no GPU', mode: 'graph', operations: "clm's" };
const environment = describeEnvironment({ device, tensorflow: '2.21.0', threads: 2 }, ['clm', 'train', 'a.yaml']);
const start = (configText = 'name: one\n') =>
  createRunDirectory(run(), { configText, tokenizerText: '{"kind":"bytes"}', environment });

describe('a run from an untrusted source', () => {
  it.each(['checkpoints', 'samples'])(
    'leads no write or deletion through a link in the place of its %s',
    async (name) => {
      await start();
      const elsewhere = join(folder(), 'elsewhere');
      await mkdir(join(elsewhere, '.step-00000001.clm-removed-1'), { recursive: true });
      await rm(join(run(), name), { recursive: true });
      await symlink(elsewhere, join(run(), name));
      await expect(clearLeftovers(run())).rejects.toThrow(`${join(run(), name)} is a symbolic link`);
      await expect(start()).rejects.toThrow('is a symbolic link');
      expect(await readdir(elsewhere)).toEqual(['.step-00000001.clm-removed-1']);
    },
  );

  it('is read up to a limit', async () => {
    await start();
    const paths = runPaths(run());
    await writeFile(paths.environment, '');
    await truncate(paths.environment, 2 ** 26 + 1); // holes
    await expect(start()).rejects.toThrow(/environment\.json has more than 64 MiB/);
    expect(() => readBounded('/dev/zero', 1 << 20)).toThrow('more than 1 MiB'); // its size is said to be 0
    await writeFile(paths.environment, 'whole');
    expect(readBounded(paths.environment).toString()).toBe('whole');
  });
});

describe('a new run', () => {
  it('has its first files', async () => {
    expect(await directoryState(run())).toBe('absent');
    const paths = await start();
    expect(paths).toEqual(runPaths(run()));
    expect((await readdir(run())).sort()).toEqual([
      'checkpoints',
      'config.yaml',
      'environment.json',
      'samples',
      'tokenizer.json',
    ]);
    expect(await readFile(paths.config, 'utf8')).toBe('name: one\n');
    expect(JSON.parse(await readFile(paths.environment, 'utf8'))).toEqual(environment);
    expect(await directoryState(run())).toBe('empty-or-no-checkpoint');
  });

  it('replaces a run that stopped before its first checkpoint, but no files of the user', async () => {
    const paths = await start();
    await writeFile(paths.metrics, '{"kind":"step","step":1}\n');
    await writeFile(join(paths.samples, 'step-00000000.txt'), 'old');
    await mkdir(join(paths.checkpoints, '.step-00000005.clm-unfinished-41-lx3-0'));
    await writeFile(join(run(), 'notes.txt'), 'mine');
    await start('name: two\n');
    expect(await readdir(run())).not.toContain('metrics.jsonl');
    expect(await readdir(paths.samples)).toEqual([]);
    expect(await readdir(paths.checkpoints)).toEqual([]);
    expect(await readFile(paths.config, 'utf8')).toBe('name: two\n');
    expect(await readFile(join(run(), 'notes.txt'), 'utf8')).toBe('mine');
  });

  it('starts in an empty directory, or one with only an unfinished write', async () => {
    await mkdir(run(), { recursive: true });
    expect(await directoryState(run())).toBe('empty-or-no-checkpoint');
    await writeFile(join(run(), '.environment.json.clm-unfinished-41-lx3-0'), '{');
    await start();
    expect((await readdir(run())).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('refuses a directory with a checkpoint, even a damaged one, and changes nothing', async () => {
    await start();
    const checkpoint = await saveCheckpoint(run(), smallCheckpoint(3), { keepLast: 2 });
    await writeFile(join(checkpoint, 'state.json'), '');
    expect(await directoryState(run())).toBe('has-checkpoint');
    const failure = await failureOf(start('name: two\n'));
    expect(failure.kind).toBe('wrongInput');
    expect(failure.message).toContain('--resume');
    expect(await readFile(runPaths(run()).config, 'utf8')).toBe('name: one\n');
  });

  it.each(['thesis.tex', 'config.yaml', 'environment.json'])('refuses a directory with a foreign %s', async (name) => {
    await mkdir(run(), { recursive: true });
    await writeFile(join(run(), name), '{"program":"another"}');
    const failure = await failureOf(assertFreshStart(run()));
    expect(failure.kind).toBe('wrongInput');
    expect(failure.message).toContain(`it contains ${name}`);
    await expect(start()).rejects.toThrow('not a clm run');
    expect(await readdir(run())).toEqual([name]);
  });

  it('refuses a file in its path', async () => {
    await writeFile(join(folder(), 'runs'), '');
    expect((await failureOf(directoryState(run()))).message).toContain('is a file, not a folder');
    expect((await failureOf(directoryState(join(folder(), 'runs')))).message).toContain(
      'is a file, not a run directory',
    );
  });
});

describe('environment', () => {
  it('describes versions, machine and command', () => {
    expect(environment).toMatchObject({
      program: 'clm',
      versions: { clm: expect.stringMatching(/^\d+\.\d+\.\d+/) as string, node: process.versions.node },
      device,
      tensorflow: '2.21.0',
      threads: 2,
      platform: { system: process.platform, architecture: process.arch },
      command: ['clm', 'train', 'a.yaml'],
    });
    expect(environment.cpu.cores).toBeGreaterThan(0);
    expect(JSON.parse(JSON.stringify(environment))).toEqual(environment);
  });

  it('removes credentials from the command, but not keys that only look like them', () => {
    const args = ['--set', 'training.tokens=7', '--password', 'x', '--access-token=x', 'hub.apiKey=x'];
    const clean = ['--set', 'training.tokens=7', '--password', '***', '--access-token=***', 'hub.apiKey=***'];
    expect(withoutCredentials([...args, 'https://me:x@h/p'])).toEqual([...clean, 'https://***@h/p']);
    const urls = ['a=https://h/p?x=1&X-Amz-Signature=abc&token=def', 'https://h/?api_key=abc&tokens=5'];
    expect(withoutCredentials(urls)).toEqual([
      'a=https://h/p?x=1&X-Amz-Signature=***&token=***',
      'https://h/?api_key=***',
    ]);
  });

  it('has the commit of a checkout: loose, packed, detached or linked', async () => {
    const commit = (digit: string) => digit.repeat(40);
    const git = join(folder(), 'repository', '.git');
    expect(commitOf(join(folder(), 'repository'))).toBeNull();
    await mkdir(join(git, 'refs', 'heads'), { recursive: true });
    await writeFile(join(git, 'HEAD'), 'ref: refs/heads/main\n');
    expect(commitOf(join(folder(), 'repository'))).toBeNull();
    await writeFile(join(git, 'packed-refs'), `# pack-refs\n${commit('a')} refs/heads/main\n${commit('b')} refs/x\n`);
    expect(commitOf(join(folder(), 'repository'))).toBe(commit('a'));
    await writeFile(join(git, 'refs', 'heads', 'main'), `${commit('c')}\n`);
    expect(commitOf(join(folder(), 'repository'))).toBe(commit('c'));

    const linked = join(folder(), 'linked');
    const linkedGit = join(git, 'worktrees', 'linked');
    await mkdir(linked);
    await mkdir(linkedGit, { recursive: true });
    await writeFile(join(linked, '.git'), `gitdir: ${linkedGit}\n`);
    await writeFile(join(linkedGit, 'commondir'), '../..\n');
    await writeFile(join(linkedGit, 'HEAD'), 'ref: refs/heads/main\n');
    expect(commitOf(linked)).toBe(commit('c'));
    await writeFile(join(linkedGit, 'HEAD'), `${commit('d')}\n`);
    expect(commitOf(linked)).toBe(commit('d'));
  });
});
