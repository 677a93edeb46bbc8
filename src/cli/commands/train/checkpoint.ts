/** `clm checkpoint verify`: verifies every checkpoint of a run. */
import { verifyCheckpoints } from '../../../checkpoint/verify.ts';
import { wrongInput } from '../../../errors.ts';
import { printJson, printResult } from '../../terminal/output.ts';
import type { ArgumentsOf } from '../../usage.ts';
import type { checkpointVerifyUsage } from './usage.ts';

export async function verify({ run, json }: ArgumentsOf<typeof checkpointVerifyUsage>): Promise<void> {
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
  if (damaged > 0) process.exitCode = 2;
}
