/** `clm bench`: how fast the training step of a config runs, and how near it comes to the machine's matmul peak. */
import type { CommandModule } from 'yargs';
import { wrongInput } from '../errors.ts';
import { benchmark } from '../training/benchmark.ts';
import { grouped, note, printJson, printResult } from './output.ts';
import { applyVerbose, deviceOption, jsonOption, quietOption, setOption } from './options.ts';

interface BenchArguments {
  config: string;
  steps: number;
  eager: boolean;
  set: string[];
  device?: 'auto' | 'cpu' | 'cuda';
  json: boolean;
  quiet: boolean;
  verbose: boolean;
}

export const benchCommand: CommandModule<object, BenchArguments> = {
  command: 'bench <config>',
  describe: 'Measure the training step against this machine’s matmul peak',
  builder: (parser) =>
    parser
      .positional('config', { type: 'string', demandOption: true, describe: 'YAML config' })
      .option('steps', { type: 'number', default: 30, describe: 'Steps measured, after warm-up' })
      .option('eager', { type: 'boolean', default: false, describe: 'Run operation by operation instead of recorded' })
      .options({ ...setOption, ...deviceOption, ...jsonOption, ...quietOption })
      .example('clm bench configs/moby-dick.yaml', 'Milliseconds per step, GFLOP/s and share of the peak')
      .example('clm bench configs/moby-dick.yaml --eager --json', 'The same without recording, for a script') as never,
  handler: async (args) => {
    applyVerbose(args.verbose);
    if (!Number.isSafeInteger(args.steps) || args.steps < 1) throw wrongInput('--steps must be a whole number of at least 1');
    const set = [...args.set, ...(args.device ? [`device=${args.device}`] : [])];
    const result = await benchmark(args.config, { set, steps: args.steps, mode: args.eager ? 'eager' : 'recorded' });
    if (args.json) {
      printJson(result);
      return;
    }
    if (!args.quiet) note(`${result.mode}, ${result.precision}, ${result.device}; median of ${args.steps} steps, recorded in ${Math.round(result.recordMs)} ms`);
    printResult(`${result.msPerStep.toFixed(1)} ms per step`);
    printResult(`${grouped(result.tokensPerSecond)} tokens/s`);
    const share = (100 * result.gflops) / result.matmulGflops;
    printResult(`${result.gflops.toFixed(1)} GFLOP/s, ${share.toFixed(0)} % of the matmul peak (${result.matmulGflops.toFixed(0)} GFLOP/s)`);
    printResult(`waited for data ${(100 * result.waitingShare).toFixed(2)} % of the time`);
  },
};
