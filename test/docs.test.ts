import { execFile } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { root } from './cli/clm.ts';

const docs = path.join(root, 'docs');

describe('docs/', () => {
  it('has the overview of its pages and the reference of keys and commands there are; else: npm run docs', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [
      path.join(root, 'scripts/docs/write.mjs'),
      '--check',
      '--quick',
    ]).catch((error: { stdout: string }) => error);
    expect(stdout).toBe('');
  });

  it.each(readdirSync(docs).filter((name) => name.endsWith('.md')))(
    '%s has no link to a page that is not there',
    (page) => {
      const text = readFileSync(path.join(docs, page), 'utf8');
      for (const [, target] of text.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)) {
        if (!/^https?:/.test(target!)) expect(existsSync(path.join(docs, target!)), `${page} → ${target}`).toBe(true);
      }
    },
  );
});
