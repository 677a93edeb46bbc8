/** Config files for tests, in a folder that is deleted afterwards. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { ExpectedError } from '../../src/errors.ts';

export interface ConfigFolder {
  /** Absolute path of a name in the folder. */
  path(name: string): string;
  /** Writes a file, with the folders it needs; returns its path. */
  write(name: string, text: string | Uint8Array): string;
  /** The message that refuses `a.yaml` with this text, without the path of the folder. */
  refusal(text: string | Uint8Array, ...set: string[]): string;
}

export function useConfigFolder(): ConfigFolder {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'clm-config-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  const path = (name: string): string => join(folder, name);
  const write: ConfigFolder['write'] = (name, text) => {
    mkdirSync(dirname(path(name)), { recursive: true });
    writeFileSync(path(name), text);
    return path(name);
  };
  const refusal: ConfigFolder['refusal'] = (text, ...set) => {
    const file = write('a.yaml', text);
    return wrongInputMessage(() => loadConfig(file, { set })).replaceAll(`${folder}/`, '');
  };
  return { path, write, refusal };
}

/** The message of the wrongInput that `action` throws; anything else fails the test. */
export function wrongInputMessage(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof ExpectedError && error.kind === 'wrongInput') return error.message;
    throw error;
  }
  throw new Error('nothing was refused');
}

/** The one key that has no default. */
export const corpus = 'corpus: { sources: [{ path: text.txt }] }\n';
