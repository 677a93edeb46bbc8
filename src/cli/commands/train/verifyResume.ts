/** `clm verify-resume`: does stopping and resuming change anything, bit by bit. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { wrongInput } from '../../../errors.ts';
import { verifyResume } from '../../../checks/verifyResume.ts';
import { printJson, printResult } from '../../terminal/output.ts';
import { stopSignals } from '../../stopSignals.ts';
import type { ArgumentsOf } from '../../usage.ts';
import type { verifyResumeUsage } from './usage.ts';

export async function checkResume({
  config,
  steps,
  stops,
  set,
  eager,
  json,
}: ArgumentsOf<typeof verifyResumeUsage>): Promise<void> {
  const isWhole = (value: number, least: number): boolean => Number.isSafeInteger(value) && value >= least;
  if (!isWhole(steps, 2) || !isWhole(stops, 1) || stops >= steps) {
    throw wrongInput('--steps must be a whole number of at least 2, and --stops one of at least 1 and below it');
  }
  const signals = stopSignals(() => {});
  const folder = await mkdtemp(path.join(tmpdir(), 'clm-verify-resume-'));
  try {
    const places = Array.from({ length: stops }, (_, i) =>
      Math.max(i + 1, Math.floor(((i + 1) * steps) / (stops + 1))),
    );
    const work = verifyResume({
      configPath: config,
      set,
      steps,
      stops: places,
      folder,
      mode: eager ? 'eager' : 'recorded',
      signal: signals.signal,
    });
    const result = await signals.unlessStopped(work);
    if (result === 'stopped') {
      await work.catch(() => undefined); // the step under way ends, then the folder can go
      process.exitCode = signals.exitCode();
      return;
    }
    if (json) printJson(result);
    else if (result.equal)
      printResult(`equal to the last bit: ${steps} steps in one go, and with stops after ${places.join(', ')}`);
    else printResult(`DIFFERENT: ${result.difference}`);
    if (!result.equal) process.exitCode = 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
    signals.close();
  }
}
