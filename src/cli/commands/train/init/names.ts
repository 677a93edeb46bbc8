/** Names of starter configs and their runs. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { nameOfFile } from '../../../../config/runNames.ts';

/** `my text.txt` → `my-text`; a name that no run has yet. */
export function freeName(text: string): string {
  const base = path
    .basename(path.resolve(text))
    .replace(/(\.[^.]*)?(\.(gz|gzip|zst|zstd))?$/i, '')
    .replace(/\.utf-8$/, '');
  const name = nameOfFile(base.replace(/^[-.]+/, '')).replace(/^run$/, 'first');
  return firstFree(name, (each) => existsSync(path.join('runs', each)));
}

/** `name`, or the first of name-2, name-3 … that is not taken. */
export function firstFree(name: string, isTaken: (name: string) => boolean): string {
  for (let number = 1; ; number++) {
    const each = number === 1 ? name : `${name}-${number}`;
    if (!isTaken(each)) return each;
  }
}
