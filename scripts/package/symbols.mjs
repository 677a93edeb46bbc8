// What a compiled file asks of the system's libraries: nothing newer than the oldest supported Linux has.

import { SetupFailure, exitCodes, lastLines } from '../setup/failure.mjs';
import { runProgram } from '../setup/process.mjs';

/**
 * Versions of symbols in the output of `objdump -p` that are newer than allowed, e.g. GLIBC_2.34.
 * @param {string} output
 * @param {Record<string, string>} newest by the name of the library's versions
 */
export function newSymbols(output, newest) {
  const required = output.slice(output.indexOf('Version References:'));
  const found = new Set(required.match(/\b[A-Z]+_\d+(?:\.\d+)*\b/g));
  return [...found].filter((symbol) => {
    const [name, version] = symbol.split('_');
    return newest[name] === undefined || version.localeCompare(newest[name], 'en', { numeric: true }) > 0;
  });
}

/**
 * @param {string} file
 * @param {import('./platforms.mjs').Platform} platform
 * @throws SetupFailure
 */
export async function refuseNewSymbols(file, { platform, tools, newest }) {
  if (platform !== 'linux') return;
  const { status, output } = await runProgram(`${tools}objdump`, ['-p', file]);
  if (status !== 0)
    throw new SetupFailure(`${tools}objdump (of the package binutils) failed on ${file}:\n${lastLines(output)}`);
  const tooNew = newSymbols(output, newest);
  if (tooNew.length === 0) return;
  throw new SetupFailure(
    `${file} needs ${tooNew.join(', ')}, which the oldest supported Linux does not have ` +
      '(objdump -T shows the functions; native/oldLinux.h is the place to choose older ones).',
    exitCodes.bug,
  );
}
