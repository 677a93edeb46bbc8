import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { promptsOfFile } from '../../../../src/cli/commands/model/promptsFile.ts';
import { useTemporaryFolder } from '../../../temporaryFolder.ts';

const folder = useTemporaryFolder();

async function read(text: string, name = 'prompts.txt'): Promise<{ prompts: string[]; warnings: string[] }> {
  const file = join(folder(), name);
  writeFileSync(file, text);
  const prompts: string[] = [];
  const warnings: string[] = [];
  for await (const { prompt } of promptsOfFile(file, undefined, (message) =>
    warnings.push(message.replace(file, name)),
  ))
    prompts.push(prompt);
  return { prompts, warnings };
}

it('lines that are no prompts are named', async () => {
  expect(await read('\uFEFFone\r\n\r\ntwo\n \nthree')).toEqual({
    prompts: ['one', 'two', 'three'],
    warnings: ['prompts.txt: blank lines passed over: 2'],
  });
  expect(await read('one\ntwo\n')).toEqual({ prompts: ['one', 'two'], warnings: [] });
  expect(await read('{"prompt":"a"}\n\n', 'a.jsonl')).toEqual({ prompts: ['a'], warnings: [] });
});

it.each(['', '\n', ' \n\t\n'])('a file without prompts is named: %j', async (text) => {
  expect(await read(text)).toEqual({ prompts: [], warnings: ['prompts.txt has no prompts'] });
});

it('a line that says two things is refused', async () => {
  await expect(read('{"prompt":"a","seed":1}\n{"prompt":"b","prompt":"c"}\n', 'b.jsonl')).rejects.toThrow(
    'b.jsonl:2: the key "prompt" is there twice',
  );
});
