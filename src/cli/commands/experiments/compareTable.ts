/** The table of `clm compare`: the columns that say something new, as many as the terminal has room for. */
import {
  rankedFigure,
  type AveragedFigure,
  type Comparison,
  type Group,
  type RankedBy,
} from '../../../experiments/comparison/comparison.ts';
import type { Difference } from '../../../experiments/comparison/differences.ts';
import { aboveText, foldedLosses, stateText, verdictText } from '../../../experiments/comparison/wording.ts';
import { spreadText } from '../../../statistics.ts';
import { grouped } from '../../terminal/output.ts';
import { renderTable, type Column } from '../../terminal/table.ts';

interface Row {
  group: Group;
  /** To the best setting; null for the best itself, and where one of them has no loss. */
  difference: Difference | null;
  isBest: boolean;
}

/**
 * @param width of the terminal in characters; Infinity for no limit
 * @returns the lines of the table; and a line that names the losses that one column stands for, if there are several
 */
export function comparisonTable(comparison: Comparison, width: number): { lines: string[]; folded: string | null } {
  const { groups, differences, measure, rankedBy, isComparable } = comparison;
  const { main, others, equal } = foldedLosses(comparison);
  const rows = groups.map((group, i): Row => {
    const isBest = i === 0 && isComparable && group[rankedFigure[measure][rankedBy]] !== null;
    return { group, difference: differences[i - 1] ?? null, isBest };
  });
  const figure = (title: string, key: AveragedFigure): Column<Row> => ({
    title,
    align: 'right',
    text: ({ group }) => spreadText(group[key]),
  });
  const loss = ({ title, rank }: { title: string; rank: RankedBy }): Column<Row> =>
    figure(title, rankedFigure[measure][rank]);
  const verdicts: Column<Row>[] = [
    { title: 'above best, 95 %', align: 'right', text: ({ difference }) => aboveText(difference) },
    { title: '', text: ({ difference, isBest }) => (isBest ? 'lowest' : verdictText(difference)) },
  ];
  const needed: Column<Row>[] = [
    { title: 'setting', text: ({ group }) => group.name },
    loss(main),
    ...(differences.some((difference) => difference !== null) ? verdicts : []),
  ];
  const hasPairs = groups.some(({ accuracy }) => accuracy !== null);
  const states: Column<Row> = { title: 'runs', text: ({ group }) => stateText(group) };
  // What a narrow terminal has no room for is left out from the end.
  const optional: { at?: number; column: Column<Row> }[] = [
    ...(groups.some((group) => stateText(group) !== '') ? [{ column: states }] : []),
    { at: 1, column: { title: 'n', align: 'right', text: ({ group }) => String(group.seeds.length) } },
    ...others.map((other) => ({ column: loss(other) })),
    ...(hasPairs ? [{ column: figure('accuracy', 'accuracy') }, { column: figure('margin', 'margin') }] : []),
    ...(measure === 'loss' ? [{ column: figure('train loss', 'trainingLoss') }] : []),
    { column: { title: 'tokens/s', align: 'right', text: ({ group }) => speedText(group) } },
  ];
  const withFirst = (count: number): Column<Row>[] => {
    const columns = [...needed];
    for (const { at, column } of optional.slice(0, count)) columns.splice(at ?? columns.length, 0, column);
    return columns;
  };
  const fits = (columns: readonly Column<Row>[]): boolean =>
    renderTable(rows, columns, Infinity).every(({ length }) => length <= width);
  let count = optional.length;
  while (count > 0 && !fits(withFirst(count))) count--;
  const columns = withFirst(count);
  const lines = renderTable(rows, columns, width);
  return { lines, folded: equal.length === 0 ? null : `The same numbers: ${equal.map(titleOf).join(', ')}.` };
}

const titleOf = ({ title }: { title: string }): string => title;

const speedText = ({ tokensPerSecond }: Group): string => (tokensPerSecond ? grouped(tokensPerSecond.mean) : '–');
