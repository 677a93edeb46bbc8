import { copyFile, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadCheckpoint, newestValidCheckpoint, saveCheckpoint } from '../../src/checkpoint/checkpoint.ts';
import { checkpointFolder } from '../../src/checkpoint/chosenCheckpoint.ts';
import { listCheckpoints, resolveCheckpoint } from '../../src/run/findCheckpoint.ts';
import { clearLeftovers } from '../../src/run/runDirectory.ts';
import { contentsOf, failureOf, smallCheckpoint, useTemporaryFolder } from '../temporaryFolder.ts';

const run = useTemporaryFolder();
const save = (step: number, keepLast: number | null = null) =>
  saveCheckpoint(run(), smallCheckpoint(step), { keepLast });
const names = () => readdir(join(run(), 'checkpoints')).then((entries) => entries.sort());
const steps = async () => (await listCheckpoints(run())).map(({ step }) => step);

describe('save and load', () => {
  it('returns everything that was saved', async () => {
    const path = await save(500);
    expect(path).toBe(join(run(), 'checkpoints', 'step-00000500'));
    expect((await readdir(path)).sort()).toEqual([
      'config.yaml',
      'model.safetensors',
      'optimizer.safetensors',
      'state.json',
      'tokenizer.json',
    ]);
    expect(await loadCheckpoint(path, { optimizer: true })).toEqual({ path, ...smallCheckpoint(500) });
    expect(await loadCheckpoint(path, { optimizer: false })).toEqual({ path, ...smallCheckpoint(500), optimizer: [] });
  });

  it('writes equal bytes for equal state, without path, host or time', async () => {
    const first = await contentsOf(await save(7));
    const second = await contentsOf(await saveCheckpoint(join(run(), 'other'), smallCheckpoint(7), { keepLast: null }));
    expect(second).toEqual(first);
    const state = first.find(([name]) => name === 'state.json')![1].toString();
    expect(state).not.toContain(run());
    expect(Object.keys(JSON.parse(state) as object)).toEqual([
      'format',
      'version',
      'step',
      'cursor',
      'tokensSeen',
      'files',
      'tensors',
      'sha256',
    ]);
  });

  it('replaces a checkpoint of the same step', async () => {
    await save(3);
    const other = { ...smallCheckpoint(3), configText: 'name: other\n' };
    const path = await saveCheckpoint(run(), other, { keepLast: 2 });
    expect((await loadCheckpoint(path, { optimizer: true })).configText).toBe('name: other\n');
    expect(await names()).toEqual(['step-00000003']);
  });

  it('refuses fields of the training record that would overwrite its own', async () => {
    const content = { ...smallCheckpoint(3), state: { cursor: null, sha256: 'x' } };
    await expect(saveCheckpoint(run(), content, { keepLast: null })).rejects.toThrow('may not have a field sha256');
    expect(await names()).toEqual([]);
  });

  it('leaves earlier checkpoints untouched if saving fails', async () => {
    await save(2);
    const [before] = await contentsOf(join(run(), 'checkpoints', 'step-00000002'));
    const broken = { ...smallCheckpoint(3), optimizer: [{ name: 'm', shape: [2], values: new Float32Array(3) }] };
    await expect(saveCheckpoint(run(), broken, { keepLast: 1 })).rejects.toThrow('3 values');
    expect(await names()).toEqual(['step-00000002']);
    expect((await contentsOf(join(run(), 'checkpoints', 'step-00000002')))[0]).toEqual(before);
  });
});

describe('keepLast', () => {
  it('keeps the newest by step, also if the alphabetical order differs', async () => {
    for (const step of [99_999_999, 100_000_003, 5]) await save(step);
    await save(100_000_007, 2);
    expect(await steps()).toEqual([100_000_003, 100_000_007]);
  });

  it('null keeps all', async () => {
    for (const step of [2, 3, 5, 7]) await save(step, null);
    expect(await steps()).toEqual([2, 3, 5, 7]);
  });

  it('never deletes the checkpoint just saved, nor later ones', async () => {
    for (const step of [2, 3, 11]) await save(step);
    await save(5, 1);
    expect(await steps()).toEqual([5, 11]);
  });
});

describe('a damaged checkpoint', () => {
  it('is detected after any truncation of any file', async () => {
    const path = await save(3);
    for (const [name, whole] of await contentsOf(path)) {
      expect(whole.length).toBeGreaterThan(10);
      for (let length = 0; length < whole.length; length++) {
        await writeFile(join(path, name), whole.subarray(0, length));
        const failure = await failureOf(loadCheckpoint(path, { optimizer: true }));
        expect(failure.kind, `${name} cut to ${length}`).toBe('wrongInput');
        expect(failure.message).toContain(join(path, name));
      }
      await writeFile(join(path, name), whole);
    }
    await loadCheckpoint(path, { optimizer: true });
  });

  it('is detected after a change of any byte of any file', async () => {
    const path = await save(3);
    for (const [name, whole] of await contentsOf(path)) {
      for (let index = 0; index < whole.length; index += 3) {
        const changed = Buffer.from(whole);
        changed[index]! ^= 1;
        await writeFile(join(path, name), changed);
        const { kind } = await failureOf(loadCheckpoint(path, { optimizer: true }));
        expect(kind, `${name}[${index}]`).toBe('wrongInput');
      }
      await writeFile(join(path, name), whole);
    }
  });

  it('is detected with a missing file, extra bytes, or a file from another checkpoint', async () => {
    const path = await save(3);
    const other = await save(5);
    await copyFile(join(other, 'model.safetensors'), join(path, 'model.safetensors'));
    expect((await failureOf(loadCheckpoint(path, { optimizer: false }))).message).toContain('SHA-256');
    await writeFile(join(path, 'model.safetensors'), ' ', { flag: 'a' });
    expect((await failureOf(loadCheckpoint(path, { optimizer: false }))).message).toContain('too long');
    await rm(join(path, 'model.safetensors'));
    expect((await failureOf(loadCheckpoint(path, { optimizer: false }))).message).toContain('is missing');
  });

  it('may lack the optimizer if it is not needed', async () => {
    const path = await save(3);
    await rm(join(path, 'optimizer.safetensors'));
    expect((await loadCheckpoint(path, { optimizer: false })).step).toBe(3);
    expect((await failureOf(loadCheckpoint(path, { optimizer: true }))).message).toContain('optimizer.safetensors');
  });

  it('is told from a later version and from foreign files', async () => {
    const path = await save(3);
    const text = await readFile(join(path, 'state.json'), 'utf8');
    await writeFile(join(path, 'state.json'), text.replace('"version": 1', '"version": 2'));
    expect((await failureOf(loadCheckpoint(path, { optimizer: true }))).message).toContain('Use the clm that wrote it');
    for (const foreign of ['{"a":1}', 'null', '[]', '3']) {
      await writeFile(join(path, 'state.json'), foreign);
      const { message } = await failureOf(loadCheckpoint(path, { optimizer: true }));
      expect(message).toContain('does not belong to a clm checkpoint');
    }
  });
});

describe('newestValidCheckpoint', () => {
  it('returns the newest intact one and reports the others', async () => {
    for (const step of [2, 3, 5]) await save(step);
    await rm(join(run(), 'checkpoints', 'step-00000005', 'state.json'));
    const { checkpoint, skipped } = await newestValidCheckpoint(run());
    expect(checkpoint).toMatchObject({ step: 3, optimizer: smallCheckpoint(3).optimizer });
    expect(skipped).toHaveLength(1);
    expect(skipped[0]!.path).toBe(join(run(), 'checkpoints', 'step-00000005'));
    expect(skipped[0]!.reason).toContain('state.json is missing');
  });

  it('returns none if there is none, or all are damaged', async () => {
    expect(await newestValidCheckpoint(run())).toEqual({ checkpoint: undefined, skipped: [] });
    await writeFile(join(await save(2), 'tokenizer.json'), '');
    const { checkpoint, skipped } = await newestValidCheckpoint(run());
    expect(checkpoint).toBeUndefined();
    expect(skipped).toHaveLength(1);
  });

  it('ignores unfinished and half-deleted ones, but not one that was being replaced', async () => {
    await save(2);
    const folder = join(run(), 'checkpoints');
    await rename(await save(3), join(folder, '.step-00000003.clm-replaced-41-lx3-0'));
    await rename(await save(5), join(folder, '.step-00000005.clm-unfinished-41-lx3-1'));
    await rename(await save(7), join(folder, '.step-00000007.clm-removed-41-lx3-2'));
    expect(await names()).toHaveLength(4);
    expect((await newestValidCheckpoint(run())).checkpoint?.step).toBe(3);
    expect(await clearLeftovers(run())).toHaveLength(3);
    expect(await names()).toEqual(['step-00000002', 'step-00000003']);
  });
});

describe('resolveCheckpoint', () => {
  it('finds the last one, the one of a step, and a checkpoint folder itself', async () => {
    for (const step of [20, 30, 50]) await save(step);
    const path = (step: number) => join(run(), 'checkpoints', `step-000000${step}`);
    expect(await resolveCheckpoint(run(), 'last')).toBe(path(50));
    expect(await resolveCheckpoint(run(), 30)).toBe(path(30));
    expect(await resolveCheckpoint(path(20), 'last')).toBe(path(20));
    expect(await resolveCheckpoint(path(20), 20)).toBe(path(20));
    const moved = join(run(), 'moved');
    await rename(path(20), moved);
    expect(await resolveCheckpoint(moved, 'last')).toBe(moved);
  });

  it('names the nearest steps', async () => {
    for (const step of [20, 30, 50]) await save(step);
    expect((await failureOf(resolveCheckpoint(run(), 37))).message).toContain('nearest: 30 and 50.');
    expect((await failureOf(resolveCheckpoint(run(), 70))).message).toContain('nearest: 50.');
    expect((await failureOf(resolveCheckpoint(run(), 1))).message).toContain('nearest: 20.');
    const inFolder = failureOf(resolveCheckpoint(join(run(), 'checkpoints', 'step-00000020'), 30));
    expect((await inFolder).message).toContain('is the checkpoint of step 20');
  });

  it('explains why there is none', async () => {
    expect((await failureOf(resolveCheckpoint(join(run(), 'absent'), 'last'))).message).toContain('There is no run at');
    expect((await failureOf(resolveCheckpoint(run(), 'last'))).message).toContain('neither a run directory nor');
    await writeFile(join(run(), 'config.yaml'), '');
    expect((await failureOf(resolveCheckpoint(run(), 'last'))).message).toContain('has no checkpoint yet');
    const file = join(run(), 'config.yaml');
    expect((await failureOf(resolveCheckpoint(file, 'last'))).message).toContain('neither a run directory nor');
    await expect(checkpointFolder(run(), 'best')).rejects.toThrow('has no checkpoint yet');
    await mkdir(join(run(), 'checkpoints', 'step-5'), { recursive: true });
    expect(await listCheckpoints(run())).toEqual([]);
  });
});
