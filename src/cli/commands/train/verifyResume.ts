/** `clm verify-resume`: does stopping and resuming change anything, bit by bit. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { CommandModule } from 'yargs';
import { wrongInput } from '../../../errors.ts';
import { verifyResume } from '../../../checks/verifyResume.ts';
import { jsonOption, setOption } from '../../options.ts';
import { printJson, printResult } from '../../terminal/output.ts';
import { stopSignals } from '../../stopSignals.ts';

interface VerifyResumeArguments {
  config: string;
  steps: number;
  stops: number;
  set: string[];
  eager: boolean;
  json: boolean;
}

export const verifyResumeCommand: CommandModule<object, VerifyResumeArguments> = {
  command: 'verify-resume <config>',
  describe: 'Train twice, once with stops, and compare every bit',
  builder: (parser) =>
    parser
      .positional('config', { type: 'string', demandOption: true, describe: 'YAML config' })
      .option('steps', { type: 'number', default: 20, describe: 'Steps of each of the two runs' })
      .option('stops', { type: 'number', default: 2, describe: 'Stops of the second run, evenly spread' })
      .option('eager', { type: 'boolean', default: false, describe: 'Run operation by operation instead of recorded' })
      .options({ ...setOption, ...jsonOption })
      .example(
        'clm verify-resume configs/moby-dick.yaml --steps 30 --stops 3',
        'Exit code 1 where anything differs',
      ) as never,
  handler: async ({ config, steps, stops, set, eager, json }) => {
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
  },
};
