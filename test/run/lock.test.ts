import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { liveHolder, lockRun, type LockHolder } from '../../src/run/lock.ts';
import { failureOf, useTemporaryFolder } from '../temporaryFolder.ts';

const folder = useTemporaryFolder();
const run = () => join(folder(), 'runs', 'one');
const path = () => join(run(), 'run.lock');

/** Leaves a lock as another process would have. */
async function leaveLock(change: Partial<LockHolder>): Promise<void> {
  const lock = await lockRun(run());
  const holder = JSON.parse(await readFile(path(), 'utf8')) as LockHolder;
  await lock.release();
  await mkdir(run(), { recursive: true });
  await writeFile(path(), JSON.stringify({ ...holder, nonce: '00000000-0000-4000-8000-000000000000', ...change }));
}

describe('the lock of a run', () => {
  it('refuses a second lock while it is held, and leaves nothing behind', async () => {
    const lock = await lockRun(run());
    const failure = await failureOf(lockRun(run()));
    expect(failure.kind).toBe('wrongInput');
    expect(failure.message).toContain(`is being written by process ${process.pid} on ${hostname()}`);
    expect(await readdir(run())).toEqual(['run.lock']);
    await lock.release();
    expect(existsSync(join(folder(), 'runs'))).toBe(false);
  });

  it.each<[string, Partial<LockHolder>]>([
    ['of a process that is gone', { pid: 2 ** 22 - 1 }],
    ['of another process with the same id', { startTicks: '1' }],
    ['from before a reboot', { bootId: 'another', pid: 1 }],
  ])('takes over a lock %s', async (_, change) => {
    await leaveLock(change);
    expect(liveHolder(run())).toBeUndefined();
    const lock = await lockRun(run());
    expect(liveHolder(run())?.pid).toBe(process.pid);
    expect(await readdir(run())).toEqual(['run.lock']);
    await lock.release();
  });

  it('takes over a lock that a crash of the machine has torn', async () => {
    await mkdir(run(), { recursive: true });
    await writeFile(path(), '{"pid": 4');
    await (await lockRun(run())).release();
  });

  it.each<[string, Partial<LockHolder>]>([
    ['another host', { host: 'elsewhere', bootId: 'another' }],
    ['another container', { pidNamespace: 'pid:[1]' }],
  ])('explains a lock of %s', async (_, change) => {
    await leaveLock(change);
    const failure = await failureOf(lockRun(run()));
    expect(failure.message).toContain('on another machine or in another container');
    expect(failure.message).toContain(`delete ${path()}`);
    expect(existsSync(path())).toBe(true);
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

  it('lets exactly one of many processes win, also over a dead lock', async () => {
    for (let race = 0; race < 20; race++) {
      if (race % 2 === 1) await leaveLock({ pid: 2 ** 22 - 1 });
      const attempts = await Promise.allSettled(Array.from({ length: 8 }, () => lockRun(run())));
      const winners = attempts.filter((attempt) => attempt.status === 'fulfilled');
      expect(winners).toHaveLength(1);
      await winners[0]!.value.release();
    }
  });
});
