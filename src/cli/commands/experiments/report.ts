/** `clm report RUN…`: one HTML page with the curves, completions, configs and comparison of runs. */
import path from 'node:path';
import { writeOutputFile } from '../../../storage/outputFile.ts';
import { compareRuns } from '../../../experiments/comparison/compareRuns.ts';
import { resolveRuns } from '../../../experiments/findRuns.ts';
import { renderReport } from '../../../experiments/report/reportPage.ts';
import { readRunHistory } from '../../../experiments/runHistory.ts';
import { note, printJson, printWarning } from '../../terminal/output.ts';
import type { ArgumentsOf } from '../../usage.ts';
import type { reportUsage } from './usage.ts';

export async function report({ runs, output, title, json, quiet }: ArgumentsOf<typeof reportUsage>): Promise<void> {
  const paths = resolveRuns(runs);
  const heading = title ?? runs.map((run) => path.basename(path.resolve(run))).join(', ');
  const histories = paths.map(readRunHistory);
  const comparison = compareRuns(histories);
  const page = renderReport(histories, comparison, { title: heading, madeAt: new Date() });
  await writeOutputFile(path.resolve(output), page);
  const bytes = Buffer.byteLength(page);
  const counted = `${paths.length} ${paths.length === 1 ? 'run' : 'runs'}`;
  const { answer, isComparable } = comparison;
  if (json) printJson({ report: path.resolve(output), runs: paths.length, bytes, answer, isComparable });
  else if (!quiet) note(`wrote ${output}: ${counted}, ${(bytes / 1e6).toFixed(1)} MB\n${answer[0]}`);
  if (!isComparable) printWarning(`the runs are not ranked. ${comparison.notes[0]}`);
}
