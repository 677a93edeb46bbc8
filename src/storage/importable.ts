/** Models of other programs, recognised where a run is wanted: `clm import` makes a run of them. */
import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { shellPath } from '../shellWord.ts';

/** Whether there is a file that begins as GGUF does, whatever its name: Ollama names files by their hashes. */
export function isGgufFile(path: string): boolean {
  if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true) return false;
  const [file, head] = [openSync(path, 'r'), Buffer.alloc(4)];
  readSync(file, head);
  closeSync(file);
  return head.toString('latin1') === 'GGUF';
}

/** What to say of a model of another program that is given as a run, with the command that imports it. */
export function importFirst(path: string): string | undefined {
  const what = importable(path);
  if (what === undefined) return undefined;
  const run = join('runs', basename(path).replace(/\.gguf$/i, ''));
  const base = what.isAdapter ? ' --base RUN_OF_ITS_BASE' : '';
  const command = `clm import ${shellPath(path)} --run ${shellPath(run)}${base}`;
  return `${path} is ${what.name}, not a run. Import it first: ${command}`;
}

function importable(path: string): { name: string; isAdapter: boolean } | undefined {
  if (isGgufFile(path)) return { name: 'a GGUF file', isAdapter: false };
  const has = (name: string): boolean => existsSync(join(path, name));
  if (has('config.yaml') || has('state.json')) return undefined;
  if (has('adapter_config.json')) return { name: 'an adapter of PEFT', isAdapter: true };
  return has('config.json') && has('tokenizer.json') ? { name: 'a Hugging Face folder', isAdapter: false } : undefined;
}
