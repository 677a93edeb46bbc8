/** The table and the answer of `clm compare --to-loss`. */
import type { Difference } from '../../../experiments/comparison/differences.ts';
import type { Alignment } from '../../../experiments/comparison/runFigures.ts';
import type { GroupToLoss, ToLoss } from '../../../experiments/comparison/toLoss.ts';
import { amountText } from '../../../experiments/comparison/wording.ts';
import type { Spread } from '../../../statistics.ts';
import { renderTable, type Column } from '../../terminal/table.ts';

interface Row {
  group: GroupToLoss;
  difference: Difference | null;
  /** How many times the amount of the first setting it needs. */
  ratio: number | null;
}

const titles: Record<Alignment, string> = { steps: 'steps', tokens: 'tokens', flops: 'FLOPs', time: 'seconds' };

/** @param width of the terminal in characters */
export function toLossTable(result: ToLoss, width: number): string[] {
  const { groups, differences, at } = result;
  const rows = groups.map((group, i): Row => {
    return { group, difference: differences[i - 1] ?? null, ratio: ratioToFirst(result, i) };
  });
  const units = [at, ...(['time', 'steps', 'tokens', 'flops'] as const).filter((unit) => unit !== at)];
  return renderTable<Row>(
    rows,
    [
      { title: 'setting', text: ({ group }) => group.name },
      { title: 'reached', align: 'right', text: ({ group }) => `${group.reached} of ${group.runs.length}` },
      ...units.map(
        (unit): Column<Row> => ({
          title: titles[unit],
          align: 'right',
          text: ({ group }) => spreadText(group.amounts[unit], unit),
          isOptional: unit !== at,
        }),
      ),
      { title: 'ratio', align: 'right', text: ({ ratio }) => (ratio === null ? '–' : ratio.toFixed(2)) },
      {
        title: 'p',
        align: 'right',
        text: ({ difference }) => (difference?.correctedP == null ? '' : probability(difference.correctedP)),
      },
    ],
    width,
  );
}

/** The result in sentences; the first one is the answer. */
export function toLossAnswer(result: ToLoss): string[] {
  const { groups, differences, at, toLoss, isComparable } = result;
  if (!isComparable)
    return ['Not ranked: the runs were evaluated on different validation texts, or have different tokenizers.'];
  const [best, next] = groups;
  if (best === undefined || best.amounts[at] === null)
    return [`No run has come to a validation loss of ${toLoss}, or its ${titles[at]} are not known.`];
  const least = best.runs.flatMap(({ reached }) => (reached === null ? [] : [reached.steps!]));
  const isPart = best.reached < best.runs.length;
  const needs = `${best.name} comes to a validation loss of ${toLoss} in ${meanText(best.amounts[at], at)}`;
  const sentences = [`${needs}${isPart ? `, in ${best.reached} of its ${best.runs.length} runs` : ''}.`];
  const difference = differences[0] ?? null;
  const ratio = ratioToFirst(result, 1);
  if (next !== undefined && ratio !== null)
    sentences.push(`The next, ${next.name}, needs ${ratio.toFixed(2)} times as much${evidence(difference, at)}.`);
  if (least.includes(0)) sentences.push('The loss of a run was that low before its first step.');
  const missed = groups.filter(({ reached, runs }) => reached > 0 && reached < runs.length);
  if (missed.length > 0)
    sentences.push(`Means of settings of which not all runs come to the loss are over those that do, and not tested.`);
  return sentences;
}

function evidence(difference: Difference | null, at: Alignment): string {
  if (difference === null) return '';
  const { difference: size, margin, method, n, correctedP, isWithinSpread } = difference;
  if (margin === null) return ': one seed each, so no spread is known';
  const ends = [size - margin, size + margin].map((end) => amountText(end, at)).join(' to ');
  const verdict = isWithinSpread ? ', which is within the spread of seeds' : '';
  const test = method === 'paired' ? `paired by seed, n ${n[0]}` : `Welch, n ${n[0]} and ${n[1]}`;
  return `: ${ends} more, at 95 %, ${test}, p ${probability(correctedP!)}${verdict}`;
}

function ratioToFirst({ groups, at, isComparable }: ToLoss, i: number): number | null {
  const [first, own] = [groups[0]?.amounts[at]?.mean, groups[i]?.amounts[at]?.mean];
  return isComparable && first && own !== undefined ? own / first : null;
}

const probability = (p: number): string => (p < 0.0001 ? '< 0.0001' : p.toPrecision(2));

const meanText = ({ mean, deviation, n }: Spread, unit: Alignment): string =>
  `${amountText(mean, unit)}${deviation === null ? '' : ` ± ${numberOf(deviation, unit)} (${n} seeds)`}`;

const spreadText = (spread: Spread | null, unit: Alignment): string =>
  spread === null
    ? '–'
    : numberOf(spread.mean, unit) + (spread.deviation === null ? '' : ` ± ${numberOf(spread.deviation, unit)}`);

function numberOf(value: number, unit: Alignment): string {
  if (unit === 'flops') return value.toPrecision(3);
  return unit === 'time' ? (value / 1000).toFixed(1) : Math.round(value).toLocaleString('en-US');
}
