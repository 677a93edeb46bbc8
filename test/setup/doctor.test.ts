// `clm doctor` in a clone that is not set up.
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { fillCache, scratchProject, type ScratchProject } from './scratchProject.ts';

/** python3 as far as doctor asks for it: the real pip takes seconds to say its version. */
const pythonWithPip = 'echo "pip 25.1 from /usr/lib"';

async function clmIn(
  project: ScratchProject,
  args: string[],
): Promise<{ code: unknown; stdout: string; stderr: string }> {
  project.stub('python3', pythonWithPip);
  const child = project.start('bin/clm.mjs', args);
  const text = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) child[name]?.on('data', (part) => (text[name] += String(part)));
  return { code: await new Promise((resolve) => child.once('close', resolve)), ...text };
}

test('says what is missing and how to get it', async () => {
  const project = scratchProject();
  const { code, stdout } = await clmIn(project, ['doctor']);
  expect(code).toBe(3);
  expect(stdout).toMatch(/^ok {2}python3 {8}\S+, pip 25\.1$/m);
  expect(stdout).toMatch(/^ok {2}packages /m);
  expect(stdout).toMatch(/^!! {2}libtensorflow {2}not downloaded yet: \d+ MB for cpu/m);
  expect(stdout).toMatch(/^!! {2}dist {11}not built from src yet/m);
  expect(stdout).toContain(`Run "npm run setup" in ${project.directory}.`);
});

test('prints its findings as JSON; what is there already is ok, and no package is needed', async () => {
  const project = scratchProject();
  fillCache(project);
  project.remove('c++');
  rmSync(path.join(project.directory, 'node_modules'), { recursive: true });
  const { code, stdout, stderr } = await clmIn(project, ['doctor', '--json']);
  expect({ code, stderr }).toEqual({ code: 3, stderr: '' });
  const { ok, findings } = JSON.parse(stdout) as { ok: boolean; findings: { what: string; ok: boolean }[] };
  expect(ok).toBe(false);
  expect(Object.fromEntries(findings.map((finding) => [finding.what, finding.ok]))).toEqual({
    ...{ machine: true, python3: true, 'C++ compiler': false, packages: false, libtensorflow: true, dist: false },
  });
});

test('every other command names the set-up', async () => {
  const { code, stdout, stderr } = await clmIn(scratchProject(), ['train', 'my.yaml']);
  expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
  expect(stderr).toMatch(/^error: clm is not set up yet\. Run "npm run setup" in .*\n"clm doctor" lists/);
});

test('once the program is built, it answers', () => {
  const clm = path.resolve(import.meta.dirname, '../../bin/clm.mjs');
  const { stdout, status } = spawnSync(clm, ['--version'], { encoding: 'utf8' });
  expect({ stdout, status }).toEqual({ stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/), status: 0 });
});
