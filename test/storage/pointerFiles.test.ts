import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { promptsOfFile } from '../../src/cli/commands/model/promptsFile.ts';
import { readInput } from '../../src/cli/textInput.ts';
import { verifyFile } from '../../src/checkpoint/checkpointFiles.ts';
import { loadConfig } from '../../src/config/load.ts';
import { readTokenizerFile } from '../../src/data/tokenizers/tokenizerFile.ts';
import { readSweep } from '../../src/experiments/sweep/sweepFile.ts';
import { findWeightFiles } from '../../src/huggingface/weightFiles.ts';
import { readEvaluations } from '../../src/run/readMetrics.ts';
import { readBounded } from '../../src/storage/boundedFile.ts';
import { refusePointer, refusePointerAt } from '../../src/storage/pointerFiles.ts';
import { withSafetensors } from '../../src/tensors/safetensors.ts';
import { useTemporaryFolder } from '../temporaryFolder.ts';

const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 123456\n`;
const folder = useTemporaryFolder();
const file = (): string => join(folder(), 'pointer');

beforeEach(() => {
  writeFileSync(file(), pointer);
  mkdirSync(join(folder(), 'model'));
  writeFileSync(join(folder(), 'model/model.safetensors.index.json'), pointer);
});

it.each<[string, () => unknown]>([
  ['a config', () => loadConfig(file())],
  ['a sweep', () => readSweep(file())],
  ['a tokenizer', () => readTokenizerFile(file())],
  ['a text', () => readInput({ file: file() })],
  ['a file of prompts', () => promptsOfFile(file(), 'text').next()],
  ['weights', () => withSafetensors(file(), ['F32'], async () => undefined)],
  ['an index of shards', () => findWeightFiles(join(folder(), 'model'))],
  ['a part of a checkpoint', () => verifyFile(folder(), 'pointer' as never, { bytes: pointer.length, sha256: '' })],
  ['a log', () => readEvaluations(file())],
  ['JSON of any kind', () => readBounded(file())],
])('a Git LFS pointer in the place of %s is named', async (_, read) => {
  await expect((async () => read())()).rejects.toThrow('is a Git LFS pointer, not the file itself: git lfs pull');
});

it('pointers of git-annex are named; what only mentions one is not a pointer', () => {
  expect(() => refusePointer(Buffer.from('/annex/objects/SHA256E-s1--0.txt\n'), 'a')).toThrow('git annex get');
  expect(() => refusePointer(Buffer.from(`About: ${pointer}`), 'a')).not.toThrow();
  expect(() => refusePointerAt(join(folder(), 'none'))).not.toThrow();
});
