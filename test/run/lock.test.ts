import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { cp, mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { liveHolder, lockRun } from '../../src/run/lock.ts';
import type { LockHolder } from '../../src/run/lockHolder.ts';
import { kernelLocks, parseMount } from '../../src/storage/kernelLock.ts';
import { failureOf, useTemporaryFolder } from '../temporaryFolder.ts';

afterEach(() => void vi.restoreAllMocks());

const folder = useTemporaryFolder();
const run = () => join(folder(), 'runs', 'one');
const path = () => join(run(), 'run.lock');

/** Leaves a lock as another process would have; `kernelLock: undefined` as an earlier version of clm. */
async function leaveLock(change: Partial<LockHolder>): Promise<void> {
  const lock = await lockRun(run());
  const holder = JSON.parse(await readFile(path(), 'utf8')) as LockHolder;
  await lock.release();
  await mkdir(run(), { recursive: true });
  await writeFile(path(), JSON.stringify({ ...holder, nonce: '00000000-0000-4000-8000-000000000000', ...change }));
}

const gone = { pid: 2 ** 22 - 1 };
const elsewhere = { host: 'elsewhere', bootId: 'another' };
const earlier = { kernelLock: undefined };

/** A process that locks the run and starts a program that sleeps; it prints its own and the program's process id. */
async function holderProcess(prefix: string[] = []): Promise<{ holder: ChildProcess; pids: number[] }> {
  const script = `
    import { spawn } from 'node:child_process';
    import { lockRun } from '#clm/run/lock.js';
    await lockRun(process.argv[1]);
    const sleeper = spawn('sleep', ['60'], { stdio: 'ignore', detached: true });
    console.log(process.pid + ' ' + sleeper.pid);
    setInterval(() => {}, 1000);`;
  const [command, ...args] = [...prefix, process.execPath, '--input-type=module', '-e', script, run()];
  const holder = spawn(command!, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(createInterface(holder.stdout!), 'line')) as [string];
  return { holder, pids: line.split(' ').map(Number) };
}

async function kill(process: ChildProcess): Promise<void> {
  process.kill('SIGKILL');
  await once(process, 'exit');
}

const container = ['unshare', '--map-root-user', '--pid', '--fork', '--kill-child', '--mount-proc'];
const hasContainers = ((): boolean => {
  try {
    return execFileSync(container[0]!, [...container.slice(1), 'true']).length === 0;
  } catch {
    return false;
  }
})();

describe('the lock of a run', () => {
  it('refuses a second lock while it is held, and leaves nothing behind', async () => {
    const lock = await lockRun(run());
    expect(lock.unsupported).toBeUndefined();
    const failure = await failureOf(lockRun(run()));
    expect(failure.kind).toBe('wrongInput');
    expect(failure.message).toContain(`is being written by process ${process.pid} on ${hostname()}`);
    expect(failure.message).toContain(`stop it with: kill ${process.pid}`);
    expect(failure.message).not.toContain('copy');
    expect(await readdir(run())).toEqual(['run.lock']);
    await lock.release();
    expect(existsSync(join(folder(), 'runs'))).toBe(false);
  });

  it.each<[string, Partial<LockHolder>]>([
    ['of this very process, which does not hold it', {}],
    ['of another container of this machine', { pidNamespace: 'pid:[1]', host: 'container' }],
    ['of another machine', elsewhere],
    ['of an earlier clm, of a process that is gone', { ...earlier, ...gone }],
    ['of an earlier clm, of another process with the same id', { ...earlier, startTicks: '1' }],
    ['of an earlier clm, from before a reboot', { ...earlier, bootId: 'another', pid: 1 }],
  ])('takes a lock that the kernel does not hold: %s', async (_, change) => {
    await leaveLock(change);
    expect(liveHolder(run())).toBeUndefined();
    const lock = await lockRun(run());
    expect(liveHolder(run())?.pid).toBe(process.pid);
    expect(await readdir(run())).toEqual(['run.lock']);
    await lock.release();
  });

  it('respects the lock of an earlier clm while its process runs, and says what to do with a copy', async () => {
    await leaveLock(earlier);
    const left = await readFile(path(), 'utf8');
    const failure = await failureOf(lockRun(run()));
    expect(failure.message).toContain(`is being written by process ${process.pid}`);
    expect(failure.message).toContain(`If this is a copy of the directory of that process, delete ${path()}`);
    expect(liveHolder(run())?.pid).toBe(process.pid);
    expect(await readFile(path(), 'utf8')).toBe(left);
  });

  it.each<[string, Partial<LockHolder>]>([
    ['another machine, of an earlier clm', { ...earlier, ...elsewhere }],
    ['another container, of an earlier clm', { ...earlier, pidNamespace: 'pid:[1]' }],
  ])('explains a lock of %s', async (_, change) => {
    await leaveLock(change);
    const failure = await failureOf(lockRun(run()));
    expect(failure.message).toContain('on another machine or in another container');
    expect(failure.message).toContain(`delete ${path()}`);
    expect(existsSync(path())).toBe(true);
  });

  it('takes over a lock that a crash of the machine has torn', async () => {
    await mkdir(run(), { recursive: true });
    await writeFile(path(), '{"pid": 4');
    await (await lockRun(run())).release();
  });

  it('is not that of a copy', async () => {
    const lock = await lockRun(run());
    const copy = join(folder(), 'copy');
    await cp(run(), copy, { recursive: true });
    expect(readFileSync(join(copy, 'run.lock'), 'utf8')).toContain(`"pid":${process.pid}`);
    expect(liveHolder(copy)).toBeUndefined();
    const other = await lockRun(copy);
    expect((await failureOf(lockRun(run()))).message).toContain('is being written by');
    await lock.release();
    expect(liveHolder(copy)?.pid).toBe(process.pid);
    await other.release();
  });

  it('ends when its process is killed, while a program that it started runs on', async () => {
    const { holder, pids } = await holderProcess();
    expect((await failureOf(lockRun(run()))).message).toContain(`kill ${pids[0]}`);
    await kill(holder);
    expect(existsSync(path())).toBe(true);
    process.kill(pids[1]!, 0); // throws if it has ended
    expect(liveHolder(run())).toBeUndefined();
    await (await lockRun(run())).release();
    process.kill(pids[1]!);
  });

  it.skipIf(!hasContainers)('keeps a container out while it runs, and no longer', async () => {
    const { holder, pids } = await holderProcess(container);
    expect(pids[0]).toBeLessThan(10); // a process id of its own namespace
    const failure = await failureOf(lockRun(run()));
    expect(failure.message).toContain(`process ${pids[0]} in another container of this machine, ${hostname()}`);
    expect(failure.message).toContain('stop it there');
    expect(liveHolder(run())?.pid).toBe(pids[0]);
    await kill(holder);
    await vi.waitFor(async () => (await lockRun(run())).release());
  });

  it('is created again if somebody deleted it, and lost if another process took it meanwhile', async () => {
    const lock = await lockRun(run());
    await lock.renew();
    await rm(join(folder(), 'runs'), { recursive: true });
    await Promise.all([lock.renew(), lock.renew()]);
    expect(await readdir(run())).toEqual(['run.lock']);
    await rm(path());
    const other = await lockRun(run());
    expect((await failureOf(lock.renew())).message).toContain('is being written by process');
    await lock.release();
    expect(await readdir(run())).toEqual(['run.lock']);
    await other.release();
  });

  it('goes with the directory if that is renamed', async () => {
    const lock = await lockRun(run());
    const moved = join(folder(), 'moved');
    await rename(run(), moved);
    expect(await lock.renew()).toBe(moved);
    expect(existsSync(run())).toBe(false);
    expect(liveHolder(moved)?.pid).toBe(process.pid);
    expect((await failureOf(lockRun(moved))).message).toContain('is being written by');
    const other = await lockRun(run()); // its former place is free
    expect(await lock.renew()).toBe(moved);
    await other.release();
    await lock.release();
    expect(await readdir(moved)).toEqual([]);
  });

  it('is renewed if another file was copied over it', async () => {
    await leaveLock(gone);
    const other = await readFile(path());
    const lock = await lockRun(run());
    await writeFile(path(), other);
    await lock.renew();
    expect((await failureOf(lockRun(run()))).message).toContain(`process ${process.pid}`);
    await lock.release();
    expect(existsSync(path())).toBe(false);
  });

  it('does not write through a symbolic link', async () => {
    await mkdir(run(), { recursive: true });
    await writeFile(join(folder(), 'mine'), 'kept');
    await symlink(join(folder(), 'mine'), path());
    expect((await failureOf(lockRun(run()))).message).toContain('symbolic link');
    expect(readFileSync(join(folder(), 'mine'), 'utf8')).toBe('kept');
  });

  it('lets exactly one of many processes win, also over a dead lock', async () => {
    for (let race = 0; race < 20; race++) {
      if (race % 2 === 1) await leaveLock(gone);
      const attempts = await Promise.allSettled(Array.from({ length: 8 }, () => lockRun(run())));
      const winners = attempts.filter((attempt) => attempt.status === 'fulfilled');
      expect(winners).toHaveLength(1);
      await winners[0]!.value.release();
    }
  });
});

describe('on a file system without locks', () => {
  it('is said, and the process that run.lock names decides', async () => {
    vi.spyOn(kernelLocks, 'tryLock').mockReturnValue({ unsupported: 'ENOLCK' });
    vi.spyOn(kernelLocks, 'isLocked').mockReturnValue(undefined);
    const lock = await lockRun(run());
    expect(lock.unsupported).toBe('ENOLCK');
    expect(liveHolder(run())?.pid).toBe(process.pid);
    const failure = await failureOf(lockRun(run()));
    expect(failure.message).toContain(`is being written by process ${process.pid}`);
    expect(failure.message).toContain('If this is a copy');
    await lock.release();
    await leaveLock(gone);
    expect(liveHolder(run())).toBeUndefined();
    await (await lockRun(run())).release();
  });
});

describe('on a file system whose locks other machines may not see', () => {
  it('a lock of another machine is left alone, one of this machine is not', async () => {
    vi.spyOn(kernelLocks, 'mayHideLocks').mockReturnValue(true);
    await leaveLock(elsewhere);
    expect(liveHolder(run())?.host).toBe('elsewhere');
    expect((await failureOf(lockRun(run()))).message).toContain('cannot be checked from here');
    await rm(path());
    await leaveLock({ bootId: 'before a reboot' });
    await (await lockRun(run())).release();
  });

  it('is told from the type and the options of its mount', () => {
    expect(kernelLocks.mayHideLocks(folder())).toBe(false);
    const line = '36 35 0:42 / /mnt/my\\040home rw,noatime shared:1 - nfs4 server:/home rw,local_lock=none';
    const options = 'rw,noatime,rw,local_lock=none';
    expect(parseMount(line)).toEqual({ path: '/mnt/my home', type: 'nfs4', options });
  });
});
