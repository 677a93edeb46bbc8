/** The answer of a report, the table of its settings, and the list of its runs. */
import { spreadText } from '../../statistics.ts';
import { rankedFigure, type Comparison, type RankedBy } from '../comparison/comparison.ts';
import { grouped } from '../comparison/texts.ts';
import { aboveText, foldedLosses, stateText, verdictText } from '../comparison/wording.ts';
import { escaped } from './html.ts';
import { foldedTable, table, type Cell } from './tables.ts';

const mostRows = 20;

/** The answer in the first sentence, then how it was found and what a reader must know. */
export function answerSection({ answer, notes, isComparable }: Comparison): string {
  const [first, ...others] = answer;
  const further = [...others, ...notes.map((note) => `Note: ${note}`)];
  return (
    `<p class="${isComparable ? 'answer' : 'answer warning'}">${escaped(first!)}</p>` +
    further.map((text) => `<p>${escaped(text)}</p>`).join('')
  );
}

/** A row for each setting, numbered as its line in the charts; losses with the same numbers share a column. */
export function settingsTable(comparison: Comparison): string {
  const { groups, differences, measure, isComparable } = comparison;
  const { main, others, equal } = foldedLosses(comparison);
  const hasVerdicts = differences.some((difference) => difference !== null);
  const loss = ({ rank }: { rank: RankedBy }) => rankedFigure[measure][rank];
  const figures = [
    ...others.map((other) => ({ title: other.title, key: loss(other) })),
    ...(groups.some(({ accuracy }) => accuracy !== null)
      ? (['accuracy', 'margin'] as const).map((key) => ({ title: key, key }))
      : []),
    ...(measure === 'loss' ? [{ title: 'train loss', key: 'trainingLoss' as const }] : []),
  ];
  const hasStates = groups.some((group) => stateText(group) !== '');
  const head = [
    'setting',
    main.title,
    ...(hasVerdicts ? ['above best, 95 %', 'verdict'] : []),
    'n',
    ...figures.map(({ title }) => title),
    'tokens/s',
    ...(hasStates ? ['runs'] : []),
  ];
  const rows = groups.map((group, i): Cell[] => {
    const difference = differences[i - 1] ?? null;
    const isBest = i === 0 && isComparable && group[loss(main)] !== null;
    const speed = group.tokensPerSecond;
    return [
      { text: `${i + 1} ${group.name}`, setting: i },
      { text: spreadText(group[loss(main)]), isNumber: true },
      ...(hasVerdicts
        ? [{ text: aboveText(difference), isNumber: true }, { text: isBest ? 'lowest' : verdictText(difference) }]
        : []),
      { text: String(group.seeds.length), isNumber: true },
      ...figures.map(({ key }) => ({ text: spreadText(group[key]), isNumber: true })),
      { text: speed ? grouped(speed.mean) : '–', isNumber: true },
      ...(hasStates ? [{ text: stateText(group) }] : []),
    ];
  });
  const folded =
    equal.length === 0 ? '' : `<p class="faint">The same numbers: ${equal.map(({ title }) => title).join(', ')}.</p>`;
  return foldedTable('Settings', head, rows, mostRows, 'more settings') + folded;
}

/** Every run with its own figures. */
export function runsTable({ groups }: Comparison): string {
  const number = (value: number | null, digits = 4): Cell => ({
    text: value === null ? '–' : digits === 0 ? grouped(value) : value.toFixed(digits),
    isNumber: true,
  });
  const rows = groups.flatMap((group, i) =>
    group.runs.map((run): Cell[] => [
      { text: run.name },
      { text: `${i + 1}`, isNumber: true },
      { text: String(run.seed ?? '–'), isNumber: true },
      { text: run.isCounted ? run.state : `${run.isDiverged ? 'diverged' : run.state}, not counted` },
      number(run.step, 0),
      number(run.validationLoss),
      number(run.bestValidationLoss),
      number(run.bitsPerByte),
    ]),
  );
  const head = ['run', 'setting', 'seed', 'state', 'step', 'final val loss', 'best val loss', 'bits/byte'];
  const counted = `${rows.length} ${rows.length === 1 ? 'run' : 'runs'}`;
  return `<details><summary>${counted}</summary>${table('Runs', head, rows)}</details>`;
}
