/**
 * Transcripts in Markdown, made by running them. Marks, each on a line of its own:
 *   <!-- transcript -->        a fenced block follows: commands (lines that begin with `$ `) and what they print
 *   <!-- file: NAME -->        a fenced block follows that is written to NAME first
 *   <!-- run: COMMAND -->      is run and not shown
 * The blocks of a page run in order in a scratch folder of their own, where texts/whale.txt is a piece of Moby-Dick,
 * `clm` is the built program and $CLM its folder. `<!-- transcript: in a clone -->` runs in a new clone of HEAD
 * instead; `<!-- transcript: without /PATTERN/ -->` shows … for lines that the pattern finds.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { program as clmProgram, root } from '../lib/clm.mjs';
import { mobyDick } from '../lib/mobyDick.mjs';

const block = /<!-- (?:(transcript(?:: [^\n]*)?)|file: (\S+)|run: ([^\n]+)) -->\n(?:```[a-z]*\n([^]*?)```)?/g;
const longestLine = 118;
const continued = '\n    ';

/**
 * Runs the transcripts again; `only` names some pages, null means all.
 * @param {{ isCheck: boolean, only: string[] | null }} options
 * @returns {string[]} the pages whose transcripts are not what the commands print now
 */
export function renewTranscripts({ isCheck, only }) {
  const pages = [
    'README.md',
    ...readdirSync(path.join(root, 'docs'))
      .filter((name) => name.endsWith('.md'))
      .map((name) => `docs/${name}`),
  ];
  /** @type {string[]} */
  const stale = [];
  for (const page of pages.filter((each) => only === null || only.includes(each))) {
    const text = readFileSync(path.join(root, page), 'utf8');
    if (!text.includes('<!-- transcript')) continue;
    const renewed = rendered(text);
    if (comparable(renewed) === comparable(text)) continue;
    stale.push(page);
    if (!isCheck) writeFileSync(path.join(root, page), renewed);
  }
  return stale;
}

/**
 * What must not change from run to run. Not compared: numbers and the widths they cause, units of time, and what a
 * model writes, which ends a transcript of `clm sample` or `npm start` and stands behind bars below `sample`.
 * @param {string} text
 */
export const comparable = (text) =>
  text
    .replaceAll(continued, ' ')
    .replace(/^(to sample: [^\n]*|\$ clm sample [^\n]*)\n[^]*?(?=\n\n\$ |\n```)/gm, '$1')
    .replace(/: sample\n(?: {2}\|[^\n]*\n)*/g, ': sample\n')
    .replace(/\d[\d,.]*(e[+-]?\d+)?/g, '#')
    .replace(/[ ─]+/g, ' ')
    .replace(/# (h|min|s|ms) # (min|s)\b/g, '# s')
    .replace(/# (days|h|min|ms|s)\b/g, '# s')
    .replace(/# (s )?to # s/g, '# to # s')
    .replace(/# [kMGTPE]?(B|FLOP)\b/g, '# $1');

/**
 * Lines that `without` finds become one …; what is longer than a page is wide goes on in the next line, or ends in a ….
 * @param {string} printed @param {RegExp} [without]
 */
export function fitted(printed, without) {
  const lines = printed.split('\n').map((line) => (without?.test(line) ? '…' : folded(line)));
  return lines.filter((line, i) => line !== '…' || lines[i - 1] !== '…').join('\n');
}

/** @param {string} line @returns {string} */
function folded(line) {
  if (line.length <= longestLine) return line;
  const at = line.lastIndexOf(' ', longestLine);
  return at < longestLine / 2
    ? `${line.slice(0, longestLine - 2)} …`
    : `${line.slice(0, at)}${continued}${folded(line.slice(at + 1))}`;
}

/** A page with its transcripts as the commands print them now. @param {string} text */
function rendered(text) {
  const scratch = mkdtempSync(path.join(os.tmpdir(), 'clm-docs-'));
  try {
    const env = furnish(scratch);
    return text.replace(block, (whole, transcript, file, command, content) => {
      if (file !== undefined) {
        mkdirSync(path.dirname(path.join(scratch, file)), { recursive: true });
        writeFileSync(path.join(scratch, file), content);
      }
      if (command !== undefined) run(command, scratch, env);
      if (transcript === undefined) return whole;
      const isInClone = transcript.includes('in a clone');
      if (isInClone) run(`git clone --quiet "$CLM" clone`, scratch, env);
      const without = /without \/(.+)\/$/.exec(transcript)?.[1];
      const commands = /** @type {string[]} */ (content.split('\n')).filter((line) => line.startsWith('$ '));
      const printed = commands.map((line) => {
        const output = run(line.slice(2), isInClone ? path.join(scratch, 'clone') : scratch, env);
        const shown = fitted(output.trimEnd(), without === undefined ? undefined : new RegExp(without));
        return `${line}\n${shown}`.trimEnd();
      });
      return `<!-- ${transcript} -->\n\`\`\`console\n${printed.join('\n\n')}\n\`\`\``;
    });
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Text and program of a scratch folder; returns the environment of its commands. @param {string} scratch */
function furnish(scratch) {
  mkdirSync(path.join(scratch, 'texts'));
  mkdirSync(path.join(scratch, '.bin'));
  const whale = mobyDick().toString();
  writeFileSync(path.join(scratch, 'texts/whale.txt'), whale.slice(0, 60_000));
  const program = path.join(scratch, '.bin/clm');
  writeFileSync(program, `#!/bin/sh\nexec "${process.execPath}" "${clmProgram}" "$@"\n`);
  chmodSync(program, 0o755);
  // npm's own lines about what it runs are not output of clm.
  return {
    ...process.env,
    PATH: `${path.dirname(program)}:${process.env['PATH']}`,
    CLM: root,
    NO_COLOR: '1',
    npm_config_loglevel: 'silent',
  };
}

/**
 * What a command prints on both streams, paths of the scratch folder made relative.
 * @param {string} command @param {string} folder @param {NodeJS.ProcessEnv} env
 */
function run(command, folder, env) {
  const { stdout, error } = spawnSync('bash', ['-c', `exec 2>&1; ${command}`], {
    cwd: folder,
    env,
    encoding: 'utf8',
    timeout: 900_000,
    maxBuffer: 1e8,
  });
  if (error) throw error;
  return stdout.replaceAll(`${folder}/`, '');
}
