import { cpSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { loadCheckpoint, saveCheckpoint } from '../../src/checkpoint/checkpoint.ts';
import { renderConfig } from '../../src/config/resolved.ts';
import { bytesTokenizer } from '../../src/data/tokenizers/bytes.ts';
import { charactersTokenizer } from '../../src/data/tokenizers/characters.ts';
import { renderTokenizer } from '../../src/data/tokenizers/tokenizerFile.ts';
import { runTraining } from '../../src/training/run.ts';
import { failureOf } from '../temporaryFolder.ts';
import { prepareRun } from './prepareRun.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'clm-moved-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (...names: string[]) => path.join(folder, ...names);

const text = 'The whale swam on, and the ship followed the whale. '.repeat(9);
const files = { 'text.txt': text, 'my.yaml': '', 'tok.json': renderTokenizer(bytesTokenizer({ endOfText: false })) };
files['my.yaml'] = `corpus: { sources: [{ path: text.txt }] }
tokenizer: { kind: file, path: tok.json }
model: { layers: 1, heads: 2, width: 6, contextLength: 7 }
training: { microBatchSize: 3, steps: 2 }
evaluation: { everySteps: null }
samples: { everySteps: null }
`;

function writeProject(name: string, changed: Partial<typeof files> = {}): void {
  mkdirSync(at(name), { recursive: true });
  for (const [file, content] of Object.entries({ ...files, ...changed })) writeFileSync(at(name, file), content);
}

let isTrained = false;
/** A fresh copy of a project with a run of two steps, which is trained once. */
beforeEach(async () => {
  if (!isTrained) {
    writeProject('trained');
    const run = { config: at('trained', 'my.yaml'), runDirectory: at('trained', 'runs', 'my') };
    const prepared = await prepareRun({ ...run, set: [], resume: false });
    await runTraining(prepared, { mode: 'eager', signal: new AbortController().signal, report: () => {} });
    isTrained = true;
  }
  for (const name of ['first', 'second', 'third']) rmSync(at(name), { recursive: true, force: true });
  cpSync(at('trained'), at('first'), { recursive: true });
  rename('trained', 'away'); // what refers to it must not be found
});
beforeEach(() => () => rename('away', 'trained'));

const rename = (from: string, to: string) => {
  mkdirSync(path.dirname(at(to)), { recursive: true });
  renameSync(at(from), at(to));
};

const resume = (configPath: string | undefined, ...run: string[]) =>
  prepareRun({
    config: configPath && at(configPath),
    runDirectory: at(...run),
    set: ['training.steps=3'],
    resume: true,
  });
const textOf = ({ config }: Awaited<ReturnType<typeof resume>>) => config.corpus.sources[0]!.path;

describe('a run is resumed', () => {
  it('in a folder that was renamed or copied, with its config and without', async () => {
    rename('first', 'second');
    for (const config of [undefined, 'second/my.yaml']) {
      const prepared = await resume(config, 'second/runs/my');
      expect(prepared).toMatchObject({ progress: { step: 2 }, plan: { steps: 3 }, notes: [] });
      expect(textOf(prepared)).toBe(at('second/text.txt'));
    }
    writeFileSync(at('second/text.txt'), text.replace('whale', 'shark'));
    expect((await failureOf(resume(undefined, 'second/runs/my'))).message).toContain(
      `${at('second/text.txt')} has different content`,
    );
  });

  it('away from its texts, where they were when it was written, which is said', async () => {
    rename('away', 'trained'); // the run in first was copied from there
    rename('first/runs/my', 'second/alone');
    rmSync(at('first'), { recursive: true });
    const prepared = await resume(undefined, 'second/alone');
    expect(textOf(prepared)).toBe(at('trained/text.txt'));
    expect(prepared.notes).toContain(
      `corpus.sources[0].path: ${at('text.txt')} does not exist; taken from ${at('trained/text.txt')}`,
    );
    // Beside it now is a project with another text under the same name.
    writeProject('third', { 'text.txt': 'Quite another text, about a shark. '.repeat(20) });
    rename('second/alone', 'third/runs/my');
    const among = await resume(undefined, 'third/runs/my');
    expect(textOf(among)).toBe(at('trained/text.txt'));
    expect(among.notes).toContain(
      `corpus: ${at('third/text.txt')} is not the text that the run began with; taken from ${at('trained/text.txt')}`,
    );
    rename('trained', 'away');
    expect((await failureOf(resume(undefined, 'third/runs/my'))).message).toContain('The corpus has changed');
    rmSync(at('third/text.txt'));
    expect((await failureOf(resume(undefined, 'third/runs/my'))).message).toMatch(
      `no such file or folder: ${at('third/text.txt')}. Correct the path or put the text there.\nWhen the run was ` +
        `written, it was ${at('trained/text.txt')}. A config that names it elsewhere can be given when resuming.`,
    );
  });

  it('of an earlier version, whose config and corpus.json have absolute paths', async () => {
    const run = at('first/runs/my');
    const { config } = await resume(undefined, 'first/runs/my');
    const configText = renderConfig(config);
    writeFileSync(path.join(run, 'config.yaml'), configText);
    const checkpoint = await loadCheckpoint(path.join(run, 'checkpoints/step-00000002'), { optimizer: true });
    await saveCheckpoint(run, { ...checkpoint, configText }, { keepLast: null });
    const manifest = readFileSync(path.join(run, 'corpus.json'), 'utf8');
    writeFileSync(path.join(run, 'corpus.json'), manifest.replace('../../text.txt', at('first/text.txt')));
    expect((await resume(undefined, 'first/runs/my')).progress.step).toBe(2);
    rename('first', 'second');
    expect(textOf(await resume('second/my.yaml', 'second/runs/my'))).toBe(at('second/text.txt'));
    expect((await failureOf(resume(undefined, 'second/runs/my'))).message).toContain(
      `no such file or folder: ${at('first/text.txt')}`,
    );
  });

  it('with a tokenizer file that is elsewhere now, but not with another tokenizer', async () => {
    rmSync(at('first/my.yaml'));
    writeProject('second', { 'tok.json': renderTokenizer(charactersTokenizer([...new Set(text)].sort().join(''))) });
    expect((await failureOf(resume('second/my.yaml', 'first/runs/my'))).message).toContain(
      'was started with another tokenizer.path.',
    );
    writeProject('second');
    const prepared = await resume('second/my.yaml', 'first/runs/my');
    expect(prepared.config.tokenizer.path).toBe(at('second/tok.json'));
    expect(textOf(prepared)).toBe(at('second/text.txt'));
  });
});
