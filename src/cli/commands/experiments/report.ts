/** `clm report RUN…`: curves, completions, configs and the comparison of runs as one HTML page. */
import path from 'node:path';
import type { CommandModule } from 'yargs';
import { writeFileDurably } from '../../../storage/durable.ts';
import { resolveRuns } from '../../../experiments/findRuns.ts';
import { renderReport } from '../../../experiments/report/reportPage.ts';
import { readRunHistory } from '../../../experiments/runHistory.ts';
import { jsonOption, quietOption } from '../../options.ts';
import { note, printJson } from '../../terminal/output.ts';

interface ReportArguments {
  runs: string[];
  output: string;
  title?: string;
  json: boolean;
  quiet: boolean;
}

export const reportCommand: CommandModule<object, ReportArguments> = {
  command: 'report <runs..>',
  describe: 'Write one self-contained HTML page about runs',
  builder: (parser) =>
    parser
      .positional('runs', {
        type: 'string',
        array: true,
        demandOption: true,
        describe: 'Run directories, or folders of them',
      })
      .option('output', { type: 'string', default: 'report.html', describe: 'The page' })
      .option('title', { type: 'string', describe: 'Its heading (default: the names given)' })
      .options({ ...jsonOption, quiet: quietOption.quiet })
      .example('clm report runs/moby-dick', 'Everything about one run in report.html')
      .example('clm report runs/rates --output rates.html', 'The runs of a sweep') as never,
  handler: async ({ runs, output, title, json, quiet }) => {
    const paths = resolveRuns(runs);
    const heading = title ?? runs.map((run) => path.basename(path.resolve(run))).join(', ');
    const page = renderReport(paths.map(readRunHistory), { title: heading, madeAt: new Date() });
    await writeFileDurably(path.resolve(output), page);
    if (json) printJson({ report: path.resolve(output), runs: paths.length, bytes: Buffer.byteLength(page) });
    else if (!quiet)
      note(
        `wrote ${output}: ${paths.length} ${paths.length === 1 ? 'run' : 'runs'}, ${(Buffer.byteLength(page) / 1e6).toFixed(1)} MB`,
      );
  },
};
