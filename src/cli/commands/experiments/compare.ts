/** `clm compare RUN…`: the differing config keys of runs, their losses, and whether seeds alone differ as much. */
import { wrongInput } from '../../../errors.ts';
import {
  compareRuns,
  type Alignment,
  type Comparison,
  type Group,
  type RankedBy,
} from '../../../experiments/comparison.ts';
import { resolveRuns } from '../../../experiments/findRuns.ts';
import { readRunHistory } from '../../../experiments/runHistory.ts';
import { differenceText, spreadText } from '../../../statistics.ts';
import { duration, grouped, printJson, printResult } from '../../terminal/output.ts';
import { renderTable, type Column } from '../../terminal/table.ts';
import type { ArgumentsOf } from '../../usage.ts';
import type { compareUsage } from './usage.ts';

const ranks: Record<'final' | 'best' | 'aligned', RankedBy> = {
  final: 'validationLoss',
  best: 'bestValidationLoss',
  aligned: 'alignedLoss',
};

export function compare({ runs, at, amount, rank, json }: ArgumentsOf<typeof compareUsage>): void {
  const paths = resolveRuns(runs);
  if (amount !== undefined && !(amount > 0)) throw wrongInput('--amount must be a number greater than 0');
  const comparison = compareRuns(paths.map(readRunHistory), { alignment: at, amount, rankedBy: ranks[rank] });
  if (json) return void printJson(comparison);
  print(comparison);
}

function print({ differing, alignment, amount, groups, differences, rankedBy }: Comparison): void {
  const differingKeys = Object.keys(groups[0]?.values ?? {});
  if (differing.length === 0) printResult('all configs are the same');
  for (const { key, values } of differing) printResult(`${key}: ${[...new Set(values.map(valueText))].join(', ')}`);
  printResult('');
  const columns: Column<Group>[] = [
    { title: differingKeys.map(lastPart).join(', ') || 'runs', text: groupName },
    { title: 'n', align: 'right', text: ({ runs }) => String(runs.length) },
    { title: 'final val loss', align: 'right', text: ({ validationLoss }) => spreadText(validationLoss) },
    { title: 'best val loss', align: 'right', text: ({ bestValidationLoss }) => spreadText(bestValidationLoss) },
    {
      title: amount === null ? 'aligned' : `at ${amountText(amount, alignment)}`,
      align: 'right',
      text: ({ alignedLoss }) => spreadText(alignedLoss),
    },
    { title: 'train loss', align: 'right', text: ({ trainingLoss }) => spreadText(trainingLoss) },
    {
      title: 'tokens/s',
      align: 'right',
      text: ({ tokensPerSecond }) => (tokensPerSecond ? grouped(tokensPerSecond.mean) : '–'),
    },
    { title: '', text: ({ runs }) => stateText(runs.map(({ state }) => state)) },
  ];
  renderTable(groups, columns).forEach((line) => printResult(line));
  const best = groups[0];
  if (groups.length < 2 || !best?.[rankedBy]) return;
  printResult(`\nbest: ${groupName(best)}, validation loss ${spreadText(best[rankedBy])} (n ${best[rankedBy].n})`);
  differences.forEach((difference, i) => {
    if (difference !== null) printResult(`  ${groupName(groups[i + 1]!)}: ${differenceText(difference)}`);
  });
}

/** A group with longer values, mostly paths, is named by its runs; its values are printed above the table. */
const longestLabel = 60;

function groupName({ values, runs }: Group): string {
  const label = Object.values(values).map(valueText).join(', ');
  return label === '' || label.length > longestLabel ? runs.map(({ name }) => name).join(', ') : label;
}

const lastPart = (key: string): string => key.slice(key.lastIndexOf('.') + 1);

const valueText = (value: unknown): string =>
  typeof value === 'string' ? value : (JSON.stringify(value) ?? 'not set');

/** States other than `done`, with their number. */
function stateText(states: readonly string[]): string {
  const others = states.filter((state) => state !== 'done');
  return [...new Set(others)].map((state) => `${others.filter((each) => each === state).length} ${state}`).join(', ');
}

function amountText(amount: number, alignment: Alignment): string {
  if (alignment === 'time') return duration(amount);
  return alignment === 'flops' ? `${amount.toPrecision(3)} FLOPs` : `${grouped(amount)} ${alignment}`;
}
