/** `clm train`: from a config to a trained run; continues one with --resume. */
import ora from 'ora';
import path from 'node:path';
import type { CommandModule } from 'yargs';
import { prepareTraining } from '../training/prepare.ts';
import { runTraining } from '../training/run.ts';
import { duration, grouped, note, printJson, printWarning } from './output.ts';
import { applyVerbose, deviceOption, jsonOption, quietOption, setOption, warnOfSlowBfloat16 } from './options.ts';
import { stopSignals } from './stopSignals.ts';
import { openTrainingTerminal } from './trainingTerminal.ts';

interface TrainArguments {
  config?: string;
  run?: string;
  set: string[];
  resume: boolean;
  eager: boolean;
  device?: 'auto' | 'cpu' | 'cuda';
  json: boolean;
  quiet: boolean;
  verbose: boolean;
}

export const trainCommand: CommandModule<object, TrainArguments> = {
  command: 'train [config]',
  describe: 'Train a decoder as a config says, or continue a run',
  builder: (parser) =>
    parser
      .positional('config', { type: 'string', describe: 'YAML config; may be left out with --resume --run DIR' })
      .option('run', { type: 'string', describe: 'Run directory (default: runs/<name of the config>)' })
      .option('resume', { type: 'boolean', default: false, describe: 'Continue from the newest valid checkpoint' })
      .option('eager', { type: 'boolean', default: false, describe: 'Run operation by operation instead of recorded' })
      .options({ ...setOption, ...deviceOption, ...jsonOption, ...quietOption })
      .example('clm train configs/moby-dick.yaml', 'Train into runs/moby-dick')
      .example('clm train configs/moby-dick.yaml --set training.steps=100 --run runs/short', 'A shorter run')
      .example('clm train --run runs/short --resume', 'Continue it after a stop') as never,
  handler: async (args) => {
    applyVerbose(args.verbose);
    const set = [...args.set, ...(args.device ? [`device=${args.device}`] : [])];
    const spinner = ora({ text: 'reading the corpus', stream: process.stderr, isSilent: args.quiet || !process.stderr.isTTY || !process.stderr.columns });
    spinner.start();
    let announce = (text: string): void => void note(text);
    const signals = stopSignals((name) => announce(`${name}: finishing this step, then saving; once more stops at once`));
    try {
      const prepared = await prepareTraining({ configPath: args.config, runDirectory: args.run, set, resume: args.resume });
      spinner.stop();
      for (const { path: skipped, reason } of prepared.skipped) printWarning(`skipped ${skipped}: ${reason}`);
      warnOfSlowBfloat16(prepared.config);
      const { plan, startStep, runDirectory } = prepared;
      const shownDirectory = path.relative(process.cwd(), runDirectory) || '.';
      const say = args.quiet ? () => {} : note;
      if (prepared.isFinished) {
        say(`${shownDirectory} is finished: ${startStep} of ${plan.steps} steps. Raise training.steps to train on.`);
        if (args.json) printJson({ run: runDirectory, step: startStep, state: 'done' });
        return;
      }
      say(
        `${prepared.config.name}: ${grouped(plan.parameters)} parameters, ${grouped(plan.steps)} steps of ` +
          `${grouped(plan.tokensPerStep)} tokens (${plan.epochs.toFixed(2)} epochs), into ${shownDirectory}`,
      );
      if (args.resume) say(startStep > 0 ? `resuming from step ${startStep}` : 'no checkpoint yet: starting at step 0');
      const terminal = openTrainingTerminal(plan.steps, startStep, args.quiet);
      announce = terminal.say;
      try {
        const { outcome, device } = await runTraining(prepared, {
          mode: args.eager ? 'eager' : 'recorded',
          signal: signals.signal,
          report: (fact) => {
            terminal.report(fact);
            if (args.json && fact.kind !== 'saving') printJson(fact);
          },
        });
        terminal.close();
        const { step, state, elapsedMs, waitingShare, validationLoss } = outcome;
        if (args.json) printJson({ run: runDirectory, step, state, validationLoss, device, waitingShare });
        if (state === 'stopped') {
          say(`stopped after step ${step}. To continue: clm train --run ${shownDirectory} --resume`);
          process.exitCode = signals.exitCode();
          return;
        }
        say(
          `done: ${step} steps in ${duration(elapsedMs)}` +
            (validationLoss === undefined ? '' : `, validation loss ${validationLoss.toFixed(4)}`) +
            `; waited for data ${(100 * waitingShare).toFixed(2)} % of the time`,
        );
        say(`to sample: clm sample ${shownDirectory}`);
      } finally {
        terminal.close();
      }
    } finally {
      spinner.stop();
      signals.close();
    }
  },
};
