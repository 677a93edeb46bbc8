/** `clm bench`: how fast the training step of a config runs, and how near it comes to the machine's matmul peak. */
import { loadConfig } from '../../../config/load.ts';
import { wrongInput } from '../../../errors.ts';
import { preparePlan } from '../../../training/plan/preparePlan.ts';
import { benchmark } from '../../../checks/benchmark.ts';
import type { OperationProfile } from '../../../checks/profile.ts';
import { grouped, note, printJson, printResult } from '../../terminal/output.ts';
import { assertWhole } from '../../options.ts';
import type { ArgumentsOf } from '../../usage.ts';
import type { benchUsage } from './usage.ts';

export async function bench(args: ArgumentsOf<typeof benchUsage>): Promise<void> {
  assertWhole('steps', args.steps, 1);
  if (args.profile && args.eager) throw wrongInput('--profile needs the recorded step: leave out --eager');
  const set = [...args.set, ...(args.device ? [`device=${args.device}`] : [])];
  const mode = args.eager ? 'eager' : 'recorded';
  const prepared = await preparePlan(loadConfig(args.config, { set }));
  const result = await benchmark(prepared, { steps: args.steps, mode, profile: args.profile });
  if (args.json) {
    printJson(result);
    return;
  }
  if (!args.quiet)
    note(
      `${result.mode}, ${result.precision}, ${result.device}; median of ${args.steps} steps, recorded in ${Math.round(result.recordMs)} ms`,
    );
  printResult(`${result.msPerStep.toFixed(1)} ms per step`);
  printResult(`${grouped(result.tokensPerSecond)} tokens/s`);
  const share = (100 * result.gflops) / result.matmulGflops;
  printResult(
    `${result.gflops.toFixed(1)} GFLOP/s, ${share.toFixed(0)} % of the matmul peak (${result.matmulGflops.toFixed(0)} GFLOP/s)`,
  );
  printResult(`waited for data ${(100 * result.waitingShare).toFixed(2)} % of the time`);
  if (result.profile) printProfile(result.profile);
}

/** Operations below a thousandth of the time are summed in one line. */
function printProfile(profile: readonly OperationProfile[]): void {
  const shown = profile.filter(({ share }) => share >= 0.001);
  const others = profile.filter(({ share }) => share < 0.001);
  const sum = (field: 'count' | 'threadMs' | 'share'): number => others.reduce((total, row) => total + row[field], 0);
  const rows = [...shown, { operation: 'others', count: sum('count'), threadMs: sum('threadMs'), share: sum('share') }];
  const width = Math.max(...rows.map(({ operation }) => operation.length));
  printResult(`${'operation'.padEnd(width)}  a step   thread ms   share`);
  for (const { operation, count, threadMs, share } of rows) {
    printResult(
      `${operation.padEnd(width)}  ${String(Math.round(count)).padStart(6)}  ${threadMs.toFixed(2).padStart(10)}  ${(100 * share).toFixed(1).padStart(4)} %`,
    );
  }
}
