/** `clm checkpoint verify` and `clm verify-resume`: whether what was saved is intact, and training resumes exactly. */
import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { verifyCheckpoints } from '../../../checkpoint/verify.ts';
import { wrongInput } from '../../../errors.ts';
import { verifyResume } from '../../../checks/verifyResume.ts';
import { printFinal, printJson, printResult } from '../../terminal/output.ts';
import { stopSignals } from '../../stopSignals.ts';
import type { ArgumentsOf } from '../../usage.ts';
import type { checkpointVerifyUsage, verifyResumeUsage } from './usage.ts';

/** `clm verify-resume`: trains twice, once with stops, and compares every bit of the results. */
export async function verifyResuming(args: ArgumentsOf<typeof verifyResumeUsage>): Promise<void> {
  const { config, steps, stops, set, eager, json } = args;
  const isWhole = (value: number, least: number): boolean => Number.isSafeInteger(value) && value >= least;
  if (!isWhole(steps, 2) || !isWhole(stops, 1) || stops >= steps) {
    throw wrongInput('--steps must be a whole number of at least 2, and --stops one from 1 to --steps - 1');
  }
  const folder = await mkdtemp(path.join(tmpdir(), 'clm-verify-resume-'));
  const signals = stopSignals({
    doing: () => 'stopping after this step',
    again: 'stops at once',
    onCut: () => rmSync(folder, { recursive: true, force: true }),
  });
  try {
    const stopSteps = Array.from({ length: stops }, (_, i) =>
      Math.max(i + 1, Math.floor(((i + 1) * steps) / (stops + 1))),
    );
    const work = verifyResume({
      configPath: config,
      set,
      steps,
      stops: stopSteps,
      folder,
      mode: eager ? 'eager' : 'recorded',
      signal: signals.signal,
    });
    const result = await signals.unlessStopped(work);
    if (result === 'stopped') {
      await work.catch(() => undefined); // the folder can be removed once the current step has ended
      process.exitCode = signals.exitCode();
      return;
    }
    if (json) printJson(result);
    else if (result.equal)
      printResult(`bit-identical: ${steps} steps without a stop, and with stops after ${stopSteps.join(', ')}`);
    else printResult(`DIFFERENT: ${result.difference}`);
    if (!json) printFinal({ equal: result.equal, steps, stops });
    if (!result.equal) process.exitCode = 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
    signals.close();
  }
}

/** `clm checkpoint verify`: verifies every checkpoint of a run. */
export async function verifyCheckpointsOf({ run, json }: ArgumentsOf<typeof checkpointVerifyUsage>): Promise<void> {
  let valid = 0;
  let damaged = 0;
  for await (const verdict of verifyCheckpoints(run)) {
    if (verdict.valid) valid++;
    else damaged++;
    if (json) printJson(verdict);
    else printResult(verdict.valid ? `intact   ${verdict.path}` : `DAMAGED  ${verdict.path}\n  ${verdict.reason}`);
    if (!json && verdict.damagedTensors.length > 0)
      printResult(`  damaged tensors: ${verdict.damagedTensors.join(', ')}`);
  }
  if (valid + damaged === 0) throw wrongInput(`There is no checkpoint in ${run}.`);
  if (json) printJson({ run, valid, damaged });
  else printFinal({ run, valid, damaged });
  if (damaged > 0) process.exitCode = 2;
}
