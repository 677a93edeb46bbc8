/** `clm checkpoint verify`: is everything that a run has saved whole. */
import type { CommandModule } from 'yargs';
import { verifyCheckpoints } from '../../../checkpoint/verify.ts';
import { wrongInput } from '../../../errors.ts';
import { printJson, printResult } from '../../terminal/output.ts';
import { jsonOption } from '../../options.ts';

interface CheckpointArguments {
  action: 'verify';
  run: string;
  json: boolean;
}

export const checkpointCommand: CommandModule<object, CheckpointArguments> = {
  command: 'checkpoint <action> <run>',
  describe: 'Check that every checkpoint of a run is whole',
  builder: (parser) =>
    parser
      .positional('action', {
        choices: ['verify'] as const,
        demandOption: true,
        describe: 'verify: check lengths, hashes and checksums',
      })
      .positional('run', { type: 'string', demandOption: true, describe: 'Run directory or checkpoint folder' })
      .options(jsonOption)
      .example('clm checkpoint verify runs/moby-dick', 'Exit code 2 where one is damaged') as never,
  handler: async ({ run, json }) => {
    let valid = 0;
    let damaged = 0;
    for await (const verdict of verifyCheckpoints(run)) {
      if (verdict.valid) valid++;
      else damaged++;
      if (json) printJson(verdict);
      else printResult(verdict.valid ? `whole    ${verdict.path}` : `DAMAGED  ${verdict.path}\n  ${verdict.reason}`);
      if (!json && verdict.damagedTensors.length > 0)
        printResult(`  damaged tensors: ${verdict.damagedTensors.join(', ')}`);
    }
    if (valid + damaged === 0) throw wrongInput(`There is no checkpoint at ${run}.`);
    if (json) printJson({ run, valid, damaged });
    if (damaged > 0) process.exitCode = 2;
  },
};
