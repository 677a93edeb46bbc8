/**
 * Runs every command that README, docs and scripts/README.md name, once and with small arguments.
 *
 *   npm run check -- commands [--python PYTHON] [--only NAME,NAME]
 *
 * Collects npm scripts, scripts and clm commands from the Markdown. Each must exist, and the options shown with it must
 * be in its help. Scripts run with the arguments listed in this file; those that need Python packages only with PYTHON,
 * which has torch, transformers, tokenizers and tensorboard, otherwise with --help, as do those that download gigabytes
 * or need another program. --only chooses scripts by their names, e.g. kills,fuzz. Exit code 1 if a command fails.
 *
 * Time: 10 minutes; 5 s for "--only recording"
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { clm, jsonLines, print, root } from '../../lib/clm.mjs';
import { helpOf, scriptsOf } from '../../lib/listing.mjs';

const { values } = parseArgs({ options: { python: { type: 'string' }, only: { type: 'string' } } });
const only = values.only?.split(',');

/** Small arguments of scripts, by folder and name; null: --help only. */
const smallArguments = {
  check: {
    'crash-order': ['0', '1'],
    ...{ damage: ['10'], faults: [], fuzz: ['300'], kills: ['4', '1', '1'], repeat: ['1'], resume: ['9'] },
    ...{
      'resume-points': ['2'],
      soak: ['0.3', '0'],
      init: ['0.5'],
      plan: ['moby-dick'],
      sweep: ['60'],
      time: ['--small'],
    },
    ...{ commands: null, node: null, 'setup-kill': null, 'cuda-libraries': null, 'editor-schema': null },
    ...{ completions: withPython(), tensorboard: withPython(), transformers: withPython() },
    ...{ clients: withPython(), crowd: ['--rounds', '1', '--requests', '200'] },
    tokenizers: withPython('--megabytes', '0.2', '--kinds', 'gpt2'),
  },
  measure: {
    ...{ data: ['--only', 'waiting'], experiments: ['--small'], logging: ['8'], program: ['startup'], recording: [] },
    gpt2: ['training.steps=1', 'model.layers=1', 'model.contextLength=64'],
    sampling: ['--parts', 'small,prompts', '--rounds', '1'],
    serving: ['--rounds', '1', '--clients', '2', '--layers', '2', '--width', '64'],
    tokenizers: ['--only', 'workers', '--megabytes', '1', '--rounds', '1'],
  },
  compare: {
    ...{ nanogpt: null, 'nanogpt-losses': null },
    pytorch: withPython('--sizes', 'small', '--precisions', 'float32', '--rounds', '1', '--steps', '2', '--eager'),
  },
};
/** npm scripts that are not run through run.mjs; null: not run here. @type {Record<string, string[] | null>} */
const npmScripts = {
  ...{ setup: [], lint: [], typecheck: [], build: [], docs: ['--check', '--quick'], clm: ['--version'] },
  ...{ start: null, test: null, 'test:quick': null, coverage: null, format: null, golden: null },
};

/** @param {...string} args */
function withPython(...args) {
  return values.python === undefined ? null : ['--python', values.python, ...args];
}

/** Every line of code in a Markdown file: of code spans and of fenced blocks. @param {string} file */
function codeLines(file) {
  const text = readFileSync(path.join(root, file), 'utf8');
  const blocks = [...text.matchAll(/^```[a-z]*\n([^]*?)^```/gm)].flatMap(([, block]) => block.split('\n'));
  const spans = [...text.replaceAll(/^```[^]*?^```/gm, '').matchAll(/`([^`]+)`/g)].map(([, span]) => span);
  return [...blocks, ...spans].map((line) => line.replaceAll(/\s+/g, ' ').replace(/^\$ /, '').trim());
}

const pages = ['README.md', 'scripts/README.md', ...readdirSync(path.join(root, 'docs')).map((name) => `docs/${name}`)];
const named = pages
  .filter((page) => page.endsWith('.md'))
  .flatMap((page) => codeLines(page).map((line) => ({ page, line })));
/** @type {string[]} */
const problems = [];

/** Runs a command; its output is shown only if it fails. @param {string} what @param {string[]} command */
function runQuietly(what, [program, ...args]) {
  const beganMs = performance.now();
  const { status, stdout, stderr } = spawnSync(program, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28 });
  print(`${status === 0 ? 'ok    ' : 'FAILED'} ${what} (${((performance.now() - beganMs) / 1000).toFixed(0)} s)`);
  if (status === 0) return;
  problems.push(what);
  print(`${stdout}${stderr}`.trimEnd().split('\n').slice(-20).join('\n'));
}

/** What the pages name: scripts of a folder with the options shown, other npm scripts, clm commands. */
for (const { page, line } of named) {
  const [, folder, script, shown] = /^npm run (check|measure|compare) -- ([a-z0-9-]+)(.*)/.exec(line) ?? [];
  if (folder !== undefined) {
    const found = scriptsOf(folder).find(({ name }) => name === script);
    const unknown =
      shown
        .match(/--[a-z-]+/g)
        ?.filter((option) => option !== '--help' && found && !helpOf(found.file).includes(option)) ?? [];
    if (found === undefined) problems.push(`${page}: there is no ${folder} named ${script}`);
    for (const option of unknown) problems.push(`${page}: ${folder} ${script} has no option ${option}`);
    continue;
  }
  const npmScript = /^npm (?:run )?([a-z:]+)/.exec(line)?.[1];
  if (line.startsWith('npm run ') && npmScript !== undefined && !['check', 'measure', 'compare'].includes(npmScript)) {
    if (!(npmScript in npmScripts)) problems.push(`${page}: npm run ${npmScript} is not known here`);
  }
  const file = /^(?:node|python) (scripts\/\S+)/.exec(line)?.[1];
  if (file !== undefined) {
    try {
      readFileSync(path.join(root, file));
    } catch {
      problems.push(`${page}: there is no ${file}`);
    }
  }
}
if (only === undefined) {
  const usages = jsonLines(clm('completion', 'json')).map(({ usage }) => usage.replace(/ [<[].*/, ''));
  const commands = new Set(usages.map((usage) => usage.replace(/^clm /, '')));
  for (const { page, line } of named) {
    const words = /^clm ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)?)/.exec(line)?.[1];
    if (words === undefined || commands.has(words) || commands.has(words.split(' ')[0])) continue;
    problems.push(`${page}: there is no command clm ${words}`);
  }
  for (const command of commands) runQuietly(`clm ${command} --help`, clmHelp(command));
  for (const [script, args] of Object.entries(npmScripts)) {
    if (args === null) print(`-      npm run ${script}: not run here`);
    else runQuietly(`npm run ${script}`, ['npm', 'run', '--silent', script, '--', ...args]);
  }
}

/** @param {string} command */
function clmHelp(command) {
  return [process.execPath, path.join(root, 'dist/cli/main.js'), ...command.split(' '), '--help'];
}

for (const [folder, ofFolder] of Object.entries(smallArguments)) {
  for (const { name } of scriptsOf(folder)) {
    if (only !== undefined && !only.includes(name)) continue;
    const args = /** @type {Record<string, string[] | null>} */ (ofFolder)[name];
    if (args === undefined) problems.push(`scripts/check/program/commands.mjs has no arguments for ${folder} ${name}`);
    const small = args ?? ['--help'];
    runQuietly(`${folder} ${name} ${small.join(' ')}`.trim(), [
      ...[process.execPath, path.join(root, 'scripts/run.mjs'), folder, name],
      ...small,
    ]);
  }
}
for (const problem of problems) process.stderr.write(`error: ${problem}\n`);
process.exitCode = problems.length > 0 ? 1 : 0;
