import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const module = fileURLToPath(new URL('../../dist/storage/temporaryPaths.js', import.meta.url));

/** A process that makes a folder and waits; `more` runs after that. @returns how it ended, and the folder */
async function ended(
  more: string,
  signal: NodeJS.Signals,
  isProgram = true,
): Promise<{ code: unknown; by: unknown; folder: string }> {
  const program = `const { removeOnSignals, temporaryFolder } = await import(${JSON.stringify(module)});
    ${isProgram ? 'removeOnSignals();' : ''}
    const { path, remove } = temporaryFolder('clm-test-');
    setTimeout(() => {}, 20_000);
    ${more};
    console.log(path);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program]);
  const [folder] = (await once(child.stdout, 'data')) as [Buffer];
  const path = folder.toString().trim();
  expect(existsSync(path)).toBe(!more.includes('remove'));
  child.kill(signal);
  const [code, by] = (await once(child, 'exit')) as unknown[];
  return { code, by, folder: path };
}

it.each<NodeJS.Signals>(['SIGINT', 'SIGTERM', 'SIGHUP'])(
  '%s removes temporary folders, and ends the process',
  async (signal) => {
    const { by, folder } = await ended('', signal);
    expect([by, existsSync(folder)]).toEqual([signal, false]);
  },
);

it('a command with a handler of its own keeps them to its end', async () => {
  const more = "process.on('SIGTERM', () => process.exit(existsSync(path) ? 7 : 8))";
  const { code, folder } = await ended(`const { existsSync } = await import('node:fs'); ${more}`, 'SIGTERM');
  expect([code, existsSync(folder)]).toEqual([7, false]);
});

it("in a program of somebody else's, signals are left alone: folders go at its exit", async () => {
  const more =
    "if (process.listenerCount('SIGTERM') > 0) process.exit(9); process.on('SIGTERM', () => process.exit(7))";
  const { code, folder } = await ended(more, 'SIGTERM', false);
  expect([code, existsSync(folder)]).toEqual([7, false]);
});

it('a folder can be removed before', async () => {
  expect(await ended('remove()', 'SIGTERM')).toMatchObject({ by: 'SIGTERM' });
});
