/**
 * Runs one of the scripts of a folder: what `npm run check`, `measure` and `compare` start.
 *
 *   node scripts/run.mjs check|measure|compare [NAME [ARGUMENT …]]
 *
 * Without NAME it lists the scripts of the folder. NAME --help prints the comment at the top of the script. Everything
 * else runs the set-up first (quick if nothing is missing) and hands the arguments on to the script.
 */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { headerOf, helpOf, scriptsOf } from './lib/listing.mjs';

const [folder = '', name, ...args] = process.argv.slice(2);
const scripts = scriptsOf(folder);
const chosen = scripts.find((script) => script.name === name);
if (name === undefined || name === '--help' || name === '-h') {
  const width = Math.max(...scripts.map((script) => script.name.length));
  let group = '';
  console.log(`usage: npm run ${folder} -- NAME [ARGUMENT …]; NAME --help explains one`);
  for (const script of scripts) {
    if (script.group !== group) console.log(`\n${script.group}`);
    group = script.group;
    console.log(`  ${script.name.padEnd(width)}  ${headerOf(script.file).summary}`);
  }
} else if (chosen === undefined) {
  console.error(`error: there is no ${folder} named "${name}"; npm run ${folder} lists them`);
  process.exitCode = 2;
} else if (args.includes('--help') || args.includes('-h')) {
  console.log(helpOf(chosen.file));
} else {
  const setUp = path.join(import.meta.dirname, 'setup.mjs');
  const run = (/** @type {string[]} */ command) => spawnSync(process.execPath, command, { stdio: 'inherit' });
  const { status } = run([setUp, '--quiet']);
  if (status !== 0) process.exit(status ?? 1);
  const ended = run([chosen.file, ...args]);
  if (ended.signal !== null) process.kill(process.pid, ended.signal);
  process.exitCode = ended.status ?? 1;
}
