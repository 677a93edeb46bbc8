import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { saveCheckpoint } from '../../src/checkpoint/checkpoint.ts';
import { checkpointFolder } from '../../src/checkpoint/chosenCheckpoint.ts';
import { checkpointPath, listCheckpoints } from '../../src/run/findCheckpoint.ts';
import { bestCheckpoint, pruneCheckpoints, type Retention } from '../../src/checkpoint/retention.ts';
import { verifyCheckpoints, type Verdict } from '../../src/checkpoint/verify.ts';
import { smallCheckpoint, useTemporaryFolder } from '../temporaryFolder.ts';

const run = useTemporaryFolder();
const save = (step: number, loss: number | null, retention: Retention = { keepLast: null }) => {
  const content = smallCheckpoint(step);
  return saveCheckpoint(run(), { ...content, state: { ...content.state, validation: { loss } } }, retention);
};
const steps = async () => (await listCheckpoints(run())).map(({ step }) => step);

it('keeps the newest, the best and those at multiples of keepEvery', async () => {
  const losses: [number, number | null][] = [
    [2, 3],
    [4, 1],
    [6, null],
    [8, 2],
    [10, 5],
    [12, 4],
  ];
  for (const [step, loss] of losses) await save(step, loss, { keepLast: 2, keepBest: 1, keepEvery: 6 });
  expect(await steps()).toEqual([4, 6, 10, 12]);
  expect((await bestCheckpoint(run()))?.step).toBe(4);
});

it('prefers the earlier of equal losses, and neither counts nor deletes later steps', async () => {
  for (const [step, loss] of [
    [2, 1],
    [4, 1],
    [6, 3],
    [20, 0.5],
    [22, 4],
  ] as const)
    await save(step, loss);
  await pruneCheckpoints(run(), 6, { keepLast: 1, keepBest: 1 });
  expect(await steps()).toEqual([2, 6, 20, 22]);
});

it('ignores a damaged best checkpoint', async () => {
  for (const [step, loss] of [
    [2, 3],
    [4, 1],
  ] as const)
    await save(step, loss);
  await writeFile(join(run(), 'checkpoints', 'step-00000004', 'state.json'), '{');
  expect((await bestCheckpoint(run()))?.step).toBe(2);
});

it('--checkpoint names the last, the best or the one of a step', async () => {
  await expect(checkpointFolder(run(), 'last')).rejects.toThrow(/neither a run directory nor a checkpoint folder/);
  await save(2, null);
  await expect(checkpointFolder(run(), 'best')).rejects.toThrow(
    /no checkpoint with a validation loss; use --checkpoint/,
  );
  for (const [step, loss] of [
    [4, 1],
    [6, 3],
  ] as const)
    await save(step, loss);
  for (const [which, step] of [
    ['last', 6],
    ['best', 4],
    ['2', 2],
  ] as const)
    expect(await checkpointFolder(run(), which)).toBe(checkpointPath(run(), step));
  await expect(checkpointFolder(run(), 'newest')).rejects.toThrow(/--checkpoint is newest; it must be last, best or/);
});

it('verify names damaged checkpoints and tensors', async () => {
  await save(2, null);
  const path = await save(4, null);
  const file = join(path, 'model.safetensors');
  const bytes = await readFile(file);
  bytes[bytes.length - 2]! ^= 1; // the last value of the last tensor
  await writeFile(file, bytes);
  const verdicts: Verdict[] = [];
  for await (const verdict of verifyCheckpoints(run())) verdicts.push(verdict);
  expect(verdicts).toEqual([
    { path: expect.stringContaining('step-00000002'), step: 2, valid: true, reason: null, damagedTensors: [] },
    {
      path,
      step: 4,
      valid: false,
      reason: expect.stringContaining('model.safetensors'),
      damagedTensors: ['blocks.0.norm'],
    },
  ]);
});
