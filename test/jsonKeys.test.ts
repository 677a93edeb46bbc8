import { expect, it } from 'vitest';
import { promptsOfFile } from '../src/cli/commands/model/promptsFile.ts';
import { repeatedKeys } from '../src/jsonKeys.ts';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { useTemporaryFolder } from './temporaryFolder.ts';

it('finds the keys that an object itself has twice, however they are spelled', () => {
  expect(repeatedKeys('{"a":1,"b":{"a":2},"c":[{"a":3},{"a":4}],"d":"\\"a\\":","e":"a"}')).toEqual([]);
  expect(repeatedKeys('{ "a" : 1 , "\\u0061":{"b":[]}, "b":"}", "b" :\n2,"b":3}')).toEqual(['a', 'b', 'b']);
  expect(repeatedKeys('{"":1,"":2}')).toEqual(['']);
});

const folder = useTemporaryFolder();

it('a line of prompts that says two things is refused', async () => {
  const file = join(folder(), 'prompts.jsonl');
  writeFileSync(file, '{"prompt":"a","seed":1}\n{"prompt":"b","prompt":"c"}\n');
  const prompts = promptsOfFile(file, undefined);
  expect(await prompts.next()).toMatchObject({ value: { prompt: 'a' } });
  await expect(prompts.next()).rejects.toThrow('prompts.jsonl:2: the key "prompt" is there twice');
});
