/** `clm bench`: how fast a config trains, or a trained model decodes, as a share of what the machine allows. */
import { loadConfig } from '../../../config/load.ts';
import { wrongInput } from '../../../errors.ts';
import { preparePlan } from '../../../training/plan/preparePlan.ts';
import { benchmark } from '../../../checks/benchmark.ts';
import { benchmarkProcesses } from '../../../checks/processesBenchmark.ts';
import type { OperationProfile } from '../../../checks/profile.ts';
import { grouped, note, printFinal, printJson, printResult } from '../../terminal/output.ts';
import { assertWhole } from '../../options.ts';
import { renderTable } from '../../terminal/table.ts';
import type { ArgumentsOf } from '../../usage.ts';
import { benchDecode } from './benchDecode.ts';
import type { benchUsage } from './usage.ts';

const defaultSteps = 30;

export async function bench(args: ArgumentsOf<typeof benchUsage>): Promise<void> {
  if (args.decode) return benchDecode(args);
  const { promptTokens, batch, weights, checkpoint } = args;
  const decodeOptions = { 'prompt-tokens': promptTokens, batch, weights, checkpoint };
  const given = Object.entries(decodeOptions).find(([, value]) => value !== undefined);
  if (given) throw wrongInput(`--${given[0]} is an option of --decode, which measures the model of a run`);
  const { steps = defaultSteps } = args;
  assertWhole('steps', steps, 1);
  if (args.profile && args.eager)
    throw wrongInput('--profile measures the recorded step; it cannot be combined with --eager');
  const set = [...args.set, ...(args.device ? [`device=${args.device}`] : [])];
  assertWhole('processes', args.processes, 1);
  if (args.processes > 1) return benchOfProcesses(args, set, steps);
  const mode = args.eager ? 'eager' : 'recorded';
  const prepared = await preparePlan(loadConfig(args.config, { set, onReplaced: args.quiet ? undefined : note }));
  const result = await benchmark(prepared, { steps, mode, profile: args.profile });
  if (args.json) {
    printJson(result);
    return;
  }
  const { mode: ranMode, precision, device, recordMs, gflops, matmulGflops } = result;
  if (!args.quiet)
    note(`${ranMode}, ${precision}, ${device}; median of ${steps} steps, recorded in ${Math.round(recordMs)} ms`);
  printResult(`${result.msPerStep.toFixed(1)} ms per step`);
  printResult(`${grouped(result.tokensPerSecond)} tokens/s`);
  const share = `${((100 * gflops) / matmulGflops).toFixed(0)} %`;
  printResult(`${gflops.toFixed(1)} GFLOP/s, ${share} of the matmul peak (${matmulGflops.toFixed(0)} GFLOP/s)`);
  printResult(`waited for data ${(100 * result.waitingShare).toFixed(2)} % of the time`);
  if (result.profile) printProfile(result.profile);
  const { msPerStep, tokensPerSecond } = result;
  printFinal({ msPerStep, tokensPerSecond, gflops, matmulGflops });
}

async function benchOfProcesses(args: ArgumentsOf<typeof benchUsage>, set: string[], steps: number): Promise<void> {
  if (args.eager || args.profile)
    throw wrongInput(`--${args.eager ? 'eager' : 'profile'} measures one process; leave --processes out`);
  const { processes } = args;
  const result = await benchmarkProcesses(args.config, { set, steps, processes });
  if (args.json) {
    printJson(result);
    return;
  }
  const { msPerStep, tokensPerSecond, gflops, precision, device, waitingShare } = result;
  if (!args.quiet) note(`${processes} processes, ${precision}, ${device}; median of ${steps} steps`);
  printResult(`${msPerStep.toFixed(1)} ms per step`);
  printResult(`${grouped(tokensPerSecond)} tokens/s`);
  printResult(`${gflops.toFixed(1)} GFLOP/s together`);
  printResult(`waited for data ${(100 * waitingShare).toFixed(2)} % of the time`);
  printFinal({ processes, msPerStep, tokensPerSecond, gflops });
}

/** Operations that take less than 0.1 % of the time are summed in one line. */
function printProfile(profile: readonly OperationProfile[]): void {
  const shown = profile.filter(({ share }) => share >= 0.001);
  const others = profile.filter(({ share }) => share < 0.001);
  const sum = (field: 'count' | 'threadMs' | 'share'): number => others.reduce((total, row) => total + row[field], 0);
  const rows = [...shown, { operation: 'others', count: sum('count'), threadMs: sum('threadMs'), share: sum('share') }];
  const lines = renderTable(rows, [
    { title: 'operation', text: ({ operation }) => operation },
    { title: 'per step', align: 'right', text: ({ count }) => String(Math.round(count)) },
    { title: 'thread ms', align: 'right', text: ({ threadMs }) => threadMs.toFixed(2) },
    { title: 'share', align: 'right', text: ({ share }) => `${(100 * share).toFixed(1)} %` },
  ]);
  for (const line of lines) printResult(line);
}
