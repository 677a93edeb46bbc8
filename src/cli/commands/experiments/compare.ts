/** `clm compare RUN…`: the settings that runs have, their losses, and whether seeds alone differ as much. */
import { wrongInput } from '../../../errors.ts';
import { compareRuns } from '../../../experiments/comparison/compareRuns.ts';
import {
  differInObjective,
  rankedFigure,
  type Comparison,
  type Group,
  type RankedBy,
} from '../../../experiments/comparison/comparison.ts';
import type { RunFigures } from '../../../experiments/comparison/runFigures.ts';
import { namesTogether, valueText } from '../../../experiments/comparison/settingNames.ts';
import { compareToLoss, type ToLoss } from '../../../experiments/comparison/toLoss.ts';
import { resolveRuns } from '../../../experiments/findRuns.ts';
import { readRunHistory } from '../../../experiments/runHistory.ts';
import { printFinal, printJson, printResult, printWarning } from '../../terminal/output.ts';
import { stdoutWidth } from '../../terminal/table.ts';
import type { ArgumentsOf } from '../../usage.ts';
import { comparisonTable } from './compareTable.ts';
import { toLossAnswer, toLossTable } from './toLossTable.ts';
import type { compareUsage } from './usage.ts';

const ranks: Record<'final' | 'best' | 'aligned', RankedBy> = {
  final: 'validationLoss',
  best: 'bestValidationLoss',
  aligned: 'alignedLoss',
};

export function compare({ runs, at, amount, rank, toLoss, json }: ArgumentsOf<typeof compareUsage>): void {
  const paths = resolveRuns(runs);
  if (toLoss !== undefined) {
    if (amount !== undefined || rank !== undefined)
      throw wrongInput(
        `--to-loss compares amounts at a loss; leave out ${amount === undefined ? '--rank' : '--amount'}`,
      );
    if (!(toLoss > 0)) throw wrongInput('--to-loss must be a loss in nats per token, greater than 0');
    return void printToLoss(compareToLoss(paths.map(readRunHistory), toLoss, at ?? 'time'), json);
  }
  if (amount !== undefined && !(amount > 0)) throw wrongInput('--amount must be a number greater than 0');
  const rankedBy = rank === undefined ? undefined : ranks[rank];
  const comparison = compareRuns(paths.map(readRunHistory), { alignment: at, amount, rankedBy });
  if (json) printJson(comparison);
  else print(comparison, stdoutWidth());
  if (comparison.isComparable) return;
  printWarning(
    differInObjective(comparison)
      ? comparison.answer[0]!
      : `the runs were evaluated on different validation texts and are not ranked. ${comparison.notes[0]}`,
  );
  process.exitCode = 2;
}

function printToLoss(result: ToLoss, json: boolean): void {
  const { isComparable, groups, at } = result;
  const [best] = groups;
  if (json) printJson({ ...result, answer: toLossAnswer(result) });
  else {
    const width = stdoutWidth();
    printDiffering(result.differing, width);
    toLossTable(result, width).forEach((line) => printResult(line));
    printResult('');
    toLossAnswer(result).forEach((text) => wrapped(text, width, 2).forEach((line) => printResult(line)));
    printFinal({ isComparable, ...(isComparable && { best: best!.name, [at]: best!.amounts[at]?.mean ?? null }) });
  }
  if (!isComparable) process.exitCode = 2;
}

function printDiffering(differing: Comparison['differing'], width: number): void {
  const say = (text: string): void => wrapped(text, width, 2).forEach((line) => printResult(line));
  if (differing.length === 0) say('All configs are the same.');
  for (const { key, values } of differing) say(`${key}: ${someOf([...new Set(values.map(valueText))])}`);
  printResult('');
}

function print(comparison: Comparison, width: number): void {
  const { differing, answer, notes, isComparable, groups, measure, rankedBy } = comparison;
  const say = (text: string, indent = 0): void => wrapped(text, width, indent).forEach((line) => printResult(line));
  printDiffering(differing, width);
  const { lines, folded } = comparisonTable(comparison, width);
  lines.forEach((line) => printResult(line));
  if (folded !== null) say(folded, 2);
  printResult('');
  answer.forEach((sentence) => say(sentence, 2));
  notes.slice(isComparable || differInObjective(comparison) ? 0 : 1).forEach((note) => say(`Note: ${note}`, 2));
  const [best] = groups;
  const figure = rankedFigure[measure][rankedBy];
  const isRanked = isComparable && best !== undefined && best[figure] !== null;
  printFinal({ isComparable, ...(isRanked && { best: nameOfCounted(best), [figure]: best[figure]!.mean }) });
}

/** A setting that is named by its runs is named by those that count. */
function nameOfCounted({ name, runs }: Group): string {
  const names = (shown: readonly RunFigures[]): string => namesTogether(shown.map((run) => run.name));
  return name === names(runs) ? names(runs.filter(({ isCounted }) => isCounted)) : name;
}

const mostValues = 8;

const someOf = (values: readonly string[]): string =>
  values.length <= mostValues
    ? values.join(', ')
    : `${values.slice(0, mostValues - 1).join(', ')} … (${values.length} values)`;

/** Lines of at most `width` characters, broken at spaces; all but the first are indented. */
function wrapped(text: string, width: number, indent: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = ' '.repeat(indent) + word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
