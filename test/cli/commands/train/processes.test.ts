/** `clm train --processes`: where its servers listen, what happens if a process is killed, and what is refused. */
import type { ChildProcess } from 'node:child_process';
import { mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { processesOf } from '../../../../src/cli/commands/train/processes.ts';
import { clm } from '../../clm.ts';

let folder: string;
let config: string;
const at = (name: string) => path.join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'clm-processes-'));
  config = at('tiny.yaml');
  await writeFile(at('text.txt'), 'The cat sat on the mat. '.repeat(60));
  await writeFile(at('secret'), 'more than sixteen characters\n');
  await writeFile(
    config,
    `corpus: { sources: [{ path: text.txt }] }
model: { layers: 1, heads: 2, width: 16, contextLength: 8 }
training: { microBatchSize: 1, microBatchesPerStep: 2, branches: 1, steps: 1000000 }
schedule: { warmupSteps: 1 }
evaluation: { everySteps: null }
samples: { everySteps: null }
checkpoints: { everySteps: 5 }
`,
  );
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const childrenOf = async (pid: number): Promise<number[]> =>
  (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim().split(' ').filter(Boolean).map(Number);

/** Local addresses, in the kernel's hexadecimal, of the sockets on which a process listens. */
async function listening(pid: number): Promise<string[]> {
  const descriptors = await readdir(`/proc/${pid}/fd`);
  const links = await Promise.all(descriptors.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')));
  const tables = await Promise.all(['tcp', 'tcp6'].map((name) => readFile(`/proc/${pid}/net/${name}`, 'utf8')));
  return tables
    .flatMap((table) => table.trim().split('\n').slice(1))
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , socketState, , , , , , inode]) => socketState === '0A' && links.includes(`socket:[${inode}]`))
    .map(([, local]) => local!.split(':')[0]!);
}

const loopbacks = [
  '0100007F', // 127.0.0.1
  '0000000000000000FFFF00000100007F', // ::ffff:127.0.0.1
];

describe.runIf(process.platform === 'linux')('clm train --processes', () => {
  it('listens on the loopback alone, and ends with exit code 3 if a process is killed', async () => {
    let command: ChildProcess | undefined;
    let isSeen = false;
    const seen: string[][] = [];
    let [rank1, killedMs, printed] = [0, 0, ''];
    const result = await clm(
      ['train', config, '--run', at('killed'), '--processes', '2'],
      (stderr) => {
        printed = stderr;
        if (isSeen || !stderr.includes('checkpoints/step-')) return;
        isSeen = true;
        void (async () => {
          [rank1 = 0] = await childrenOf(command!.pid!);
          seen.push(await listening(command!.pid!), await listening(rank1));
          killedMs = performance.now();
          process.kill(rank1, 'SIGKILL');
        })();
      },
      (child) => (command = child),
    );
    expect(seen.map((addresses) => addresses.length)).toEqual([1, 1]); // the meeting point is closed by then
    for (const address of seen.flat()) expect(loopbacks).toContain(address);
    expect(result.code).toBe(3);
    expect(performance.now() - killedMs).toBeLessThan(10_000); // at once, not when the watchdog of 60 s barks
    expect(printed).toMatch(
      new RegExp(`rank 1 \\(process ${rank1} on ${os.hostname()}\\) has ended unexpectedly, in step \\d+.*SIGKILL`),
    );
    expect(printed).toContain('--resume --processes 2');
    expect(JSON.parse(await readFile(at('killed/status.json'), 'utf8'))).toMatchObject({ state: 'failed' });
  });

  it('ends if it is stopped itself before the processes have met, and says so', async () => {
    let isStopped = false;
    const result = await clm(
      ['train', config, '--run', at('stopped'), '--processes', '2', '--watchdog', '2'],
      undefined,
      (child) => {
        const timer = setInterval(() => {
          void childrenOf(child.pid!).then(([rank1]) => {
            if (rank1 === undefined || isStopped) return;
            isStopped = child.kill('SIGSTOP');
            clearInterval(timer);
          });
        }, 5);
        child.once('exit', () => clearInterval(timer));
      },
    );
    expect(isStopped).toBe(true);
    expect(result.code).toBe(3);
    expect(result.stderr).toMatch(
      /rank 0 \(process \d+ on .*\) has been stopped for \d s, before all processes had met/,
    );
    expect(await readdir(folder)).not.toContain('stopped'); // its lock is released
  });

  it('refuses what cannot be trained so, before any process is started', async () => {
    const refused = async (...args: string[]) => {
      const { code, stderr } = await clm(['train', config, '--run', at('refused'), ...args]);
      expect(code).toBe(2);
      return stderr;
    };
    expect(await refused('--processes', '3')).toContain('training.microBatchesPerStep');
    await expect(readdir(at('refused'))).rejects.toThrow('ENOENT');
  });
});

describe('processesOf', () => {
  const args = (given: object) => ({ watchdog: undefined, openNetwork: false, eager: false, ...given }) as never;
  const launched = { processes: 2, rank: 1 };

  it('lets other machines connect only if asked to, and with a secret', async () => {
    const open = { ...launched, rendezvous: '192.0.2.7:29400' };
    await expect(processesOf(args(open))).rejects.toThrow("not this machine's loopback");
    await expect(processesOf(args({ ...open, openNetwork: true }))).rejects.toThrow('needs --secret-file');
    const withSecret = { ...open, openNetwork: true, secretFile: at('secret') };
    const { join } = await processesOf(args(withSecret));
    expect(join).toMatchObject({ host: '192.0.2.7', port: 29400, secret: 'more than sixteen characters' });
    await writeFile(at('short'), 'short');
    await expect(processesOf(args({ ...withSecret, secretFile: at('short') }))).rejects.toThrow('5 characters');
    await expect(processesOf(args({ ...withSecret, secretFile: at('none') }))).rejects.toThrow('cannot be read');
  });

  it('reads the watchdog as a duration or as seconds', async () => {
    const local = { ...launched, rendezvous: '127.0.0.1:29400' };
    for (const [watchdog, ms] of [
      [undefined, 60_000],
      ['15s', 15_000],
      ['15', 15_000],
      ['2min', 120_000],
    ] as const)
      expect((await processesOf(args({ ...local, watchdog }))).join).toMatchObject({
        watchdogMs: ms,
        host: '127.0.0.1',
      });
    await expect(processesOf(args({ watchdog: '1' }))).rejects.toThrow('at least 2s');
    await expect(processesOf(args({ watchdog: 'soon' }))).rejects.toThrow('--watchdog must be a duration');
  });

  it('refuses options of processes that are started one by one where clm starts them', async () => {
    await expect(processesOf(args({ processes: 2, secretFile: at('secret') }))).rejects.toThrow('one by one');
    await expect(processesOf(args({ processes: 2, eager: true }))).rejects.toThrow('--eager and --processes');
    await expect(processesOf(args({ processes: 1.5 }))).rejects.toThrow('--processes must be a whole number');
  });
});
