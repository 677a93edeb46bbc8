#!/usr/bin/env node
// What the name `clm` starts: the program in dist. In a clone that is not set up there is none yet; then `clm doctor`
// says what is missing, and every other command that the set-up comes first.
import { existsSync } from 'node:fs';

const program = new URL('../dist/cli/main.js', import.meta.url);
if (existsSync(program)) await import(program.href);
else {
  const { beforeSetUp } = await import('../scripts/setup/doctor.mjs');
  process.exitCode = beforeSetUp(process.argv.slice(2));
}
