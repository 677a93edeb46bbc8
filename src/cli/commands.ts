/**
 * All commands, in the groups of the overview. To add one: describe it in commands/<group>/usage.ts, write its function
 * in a file beside that, and add a line here. The file is loaded only when the command runs, so that help is fast and
 * the device is chosen before anything native is loaded.
 */
import * as experiments from './commands/experiments/usage.ts';
import * as model from './commands/model/usage.ts';
import * as server from './commands/server/usage.ts';
import * as setup from './commands/setup/usage.ts';
import * as text from './commands/text/usage.ts';
import * as train from './commands/train/usage.ts';
import { nameOf, type ArgumentsOf, type Usage } from './usage.ts';

export interface Command extends Usage {
  /** @param parsed by the usage of this very command */
  run(parsed: Record<string, unknown>): Promise<void>;
}

type Handler<U extends Usage> = (args: ArgumentsOf<U>) => void | Promise<void>;

function command<U extends Usage>(usage: U, load: () => Promise<Handler<U>>): Command {
  const run: Command['run'] = async (parsed) => {
    // Must be set before TensorFlow is loaded.
    if (parsed['verbose'] === true) process.env['CLM_TENSORFLOW_LOG'] = '1';
    await (await load())(parsed as ArgumentsOf<U>);
  };
  return { ...usage, run };
}

export const commandGroups: Readonly<Record<string, readonly Command[]>> = {
  Training: [
    command(train.initUsage, async () => (await import('./commands/train/init/init.ts')).init),
    command(train.trainUsage, async () => (await import('./commands/train/train.ts')).train),
    command(train.planUsage, async () => (await import('./commands/train/plan.ts')).plan),
    command(train.benchUsage, async () => (await import('./commands/train/bench.ts')).bench),
    command(train.checkpointVerifyUsage, async () => (await import('./commands/train/verify.ts')).verifyCheckpointsOf),
    command(train.verifyResumeUsage, async () => (await import('./commands/train/verify.ts')).verifyResuming),
  ],
  'Trained models': [
    command(model.sampleUsage, async () => (await import('./commands/model/sample.ts')).sample),
    command(model.chatUsage, async () => (await import('./commands/model/chat.ts')).chat),
    command(server.serveUsage, async () => (await import('./commands/server/serve.ts')).serve),
    command(model.evaluateUsage, async () => (await import('./commands/model/evaluate.ts')).evaluate),
    command(model.scoreUsage, async () => (await import('./commands/model/score.ts')).score),
    command(model.inspectUsage, async () => (await import('./commands/model/inspect.ts')).inspect),
    command(model.importUsage, async () => (await import('./commands/model/huggingFace.ts')).importFolder),
    command(model.exportUsage, async () => (await import('./commands/model/huggingFace.ts')).exportRun),
  ],
  'Texts and tokenizers': [
    command(text.dataCheckUsage, async () => (await import('./commands/text/data.ts')).check),
    command(text.tokenizerTrainUsage, async () => (await import('./commands/text/tokenizer.ts')).train),
    command(text.tokenizerEncodeUsage, async () => (await import('./commands/text/tokenizer.ts')).encode),
    command(text.tokenizerDecodeUsage, async () => (await import('./commands/text/tokenizer.ts')).decode),
    command(text.tokenizerStatsUsage, async () => (await import('./commands/text/tokenizer.ts')).stats),
  ],
  'Runs and experiments': [
    command(experiments.runsUsage, async () => (await import('./commands/experiments/runs.ts')).list),
    command(experiments.runsShowUsage, async () => (await import('./commands/experiments/runsShow.ts')).show),
    command(experiments.runsWatchUsage, async () => (await import('./commands/experiments/runsWatch.ts')).watch),
    command(experiments.compareUsage, async () => (await import('./commands/experiments/compare.ts')).compare),
    command(experiments.reportUsage, async () => (await import('./commands/experiments/report.ts')).report),
    command(experiments.sweepUsage, async () => (await import('./commands/experiments/sweep.ts')).sweep),
  ],
  Setup: [
    command(setup.configShowUsage, async () => (await import('./commands/setup/config.ts')).show),
    command(setup.configSchemaUsage, async () => (await import('./commands/setup/config.ts')).schema),
    command(setup.doctorUsage, async () => (await import('./commands/setup/doctor.ts')).doctor),
    command(setup.completionUsage, async () => {
      const { completion } = await import('./commands/setup/completion.ts');
      return (args) => completion(args, commandGroups);
    }),
  ],
};

export const commands = Object.values(commandGroups).flat();

/** What `clm --help` prints, or of a family of commands, e.g. `clm tokenizer --help`. */
export function overview(family?: string): string {
  const isShown = (each: Command): boolean => family === undefined || nameOf(each).startsWith(`${family} `);
  const width = Math.max(...commands.filter(isShown).map((each) => each.command.length));
  const groups = Object.entries(commandGroups).flatMap(([title, group]) => {
    const lines = group.filter(isShown).map((each) => `  ${each.command.padEnd(width)}  ${each.describe}`);
    return lines.length === 0 ? [] : ['', `${title}:`, ...lines];
  });
  return [
    `Usage: clm ${family ?? ''}${family === undefined ? '' : ' '}<command>`,
    ...(family === undefined ? ['', 'Train, evaluate and sample language models from the terminal.'] : []),
    ...groups,
    '',
    'Run clm <command> --help for the arguments and options of a command, with examples.',
  ].join('\n');
}
