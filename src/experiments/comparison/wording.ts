/** A comparison in words, for the terminal and the report. */
import { grouped, listed, numberText } from './texts.ts';
import { spreadText } from '../../statistics.ts';
import { differInObjective, rankedFigure, type Comparison, type Group, type RankedBy } from './comparison.ts';
import type { Difference } from './differences.ts';
import type { Alignment } from './runFigures.ts';

type Result = Omit<Comparison, 'answer' | 'notes'>;

/** The result in sentences; the first one is the answer. */
export function answerOf(result: Result): string[] {
  const { groups, isComparable, correction } = result;
  if (!isComparable && differInObjective(result))
    return [
      'Not ranked: the runs have different objectives (training.objective), so their losses cannot be compared. Of ' +
        'preference pairs, the accuracy can.',
    ];
  if (!isComparable)
    return ['Not ranked: the runs were evaluated on different validation texts, so their losses cannot be compared.'];
  const known = groups.filter((group) => rankedSpread(result, group) !== null);
  if (known.length === 0) return [noLoss(result)];
  if (known.length === 1) return [ofOneSetting(result, known[0]!), ...measureReason(result)];
  return [
    ofBest(result),
    ...ofOthers(result),
    `The figure compared is ${comparedText(result)}.`,
    ...ofPairs(result),
    ...measureReason(result),
    ...correctionText(correction),
  ];
}

const correctionText = (correction: Result['correction']): string[] => {
  if (correction === null) return [];
  const comparisons = `${grouped(correction.comparisons)} comparisons with the best`;
  return [`Intervals and verdicts are corrected for ${comparisons} by Holm's procedure.`];
};

function noLoss({ rankedBy, groups }: Result): string {
  const hasUnfinished = groups.some(({ runs }) => runs.some(({ validationLoss }) => validationLoss !== null));
  if (rankedBy === 'alignedLoss') return 'Nothing is ranked: no run has a validation loss at the amount compared.';
  return hasUnfinished
    ? 'Nothing is ranked: no finished run has a validation loss.'
    : 'Nothing is ranked: no run has a validation loss.';
}

function ofOneSetting(result: Result, group: Group): string {
  const { n, mean, deviation } = rankedSpread(result, group)!;
  const loss = `${numberText(mean)}${deviation === null ? '' : ` ± ${numberText(deviation)}`}`;
  const over = n === 1 ? 'one seed, so no spread is known' : `mean ± standard deviation of ${n} seeds`;
  const text = `${comparedText(result)} is ${loss} (${over})`;
  return result.groups.length > 1 ? `Only ${group.name} has a loss to compare: ${text}.` : `${capital(text)}.`;
}

function ofBest(result: Result): string {
  const { groups, differences } = result;
  const [best, next] = [groups[0]!, groups[1]!];
  const difference = differences[0]!;
  const lowest = `${numberText(rankedSpread(result, best)!.mean)} ${unitText(result)}`;
  const size = numberText(Math.abs(difference.difference));
  if (difference.difference === 0) return `${best.name} and ${next.name} have the same validation loss, ${lowest}.`;
  if (difference.isWithinSpread === null)
    return (
      `${best.name} has the lowest validation loss, ${lowest}; the next, ${next.name}, is ${size} ` +
      `${difference.difference < 0 ? 'lower' : 'higher'}. No spread is known (${seedsText(difference)}), so this may ` +
      'be chance: train each with several seeds.'
    );
  if (difference.isWithinSpread)
    return (
      `No best setting can be told: ${best.name} has the lowest validation loss, ${lowest}, but ${next.name} is not ` +
      `apart from it (${differenceText(difference)}).`
    );
  return (
    `${best.name} is best: its validation loss, ${lowest}, is ${size} lower than that of the next, ${next.name} ` +
    `(${intervalText(difference)}).`
  );
}

/** How many of more than two settings are told apart from the best. */
function ofOthers({ groups, differences }: Result): string[] {
  const others = differences.flatMap((difference, i) =>
    difference === null ? [] : [{ name: groups[i + 1]!.name, is: difference.isWithinSpread }],
  );
  if (others.length < 2) return [];
  const worse = others.filter(({ is }) => is === false).length;
  const within = others.filter(({ is }) => is === true).map(({ name }) => name);
  const unknown = others.length - worse - within.length;
  const parts = [
    ...(worse > 0 ? [`${all(worse, others.length)} worse beyond the spread between seeds`] : []),
    ...(within.length > 0 ? [`${all(within.length, others.length)} not told apart from it (${listed(within)})`] : []),
    ...(unknown > 0 ? [`no spread is known for ${unknown === others.length ? 'any' : unknown}`] : []),
  ];
  return [`Of the ${others.length} other settings, ${parts.join('; ')}.`];
}

const all = (count: number, of: number): string =>
  count === of ? (of === 2 ? 'both are' : 'all are') : count === 1 ? '1 is' : `${count} are`;

const capital = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1);

function measureReason({ measure }: Result): string[] {
  if (measure === 'loss') return [];
  return [
    'Tokenizers differ, so settings are ranked by bits per byte of text: a loss per token depends on how much text a ' +
      'token holds.',
  ];
}

/** Which loss is compared, and where: `validation loss in nats per token, last evaluation (step 60)`. */
export function comparedText(result: Result): string {
  const { rankedBy, groups, alignment, amount } = result;
  const counted = groups.flatMap(({ runs }) => runs.filter(({ isCounted }) => isCounted));
  const loss = `the validation loss in ${unitText(result)}`;
  if (rankedBy === 'alignedLoss') return `${loss} at ${amount === null ? '?' : amountText(amount, alignment)}`;
  const at = counted.map((run) => (rankedBy === 'validationLoss' ? run.validationStep : run.bestStep) ?? 0);
  const [first, last] = [Math.min(...at), Math.max(...at)].map(grouped);
  const steps = first === last ? `step ${first}` : `steps ${first} to ${last}`;
  const whose = counted.length === 1 ? 'the' : "each run's";
  return `${loss} of ${whose} ${rankedBy === 'validationLoss' ? 'last' : 'best'} evaluation (${steps})`;
}

/** Of preference pairs the loss is a mean over the pairs, not over tokens. */
export const unitText = ({ measure, groups }: Pick<Result, 'measure' | 'groups'>): string =>
  measure !== 'loss' ? 'bits per byte' : groups.some(isOfPairs) ? 'nats per pair' : 'nats per token';

const isOfPairs = ({ accuracy }: Group): boolean => accuracy !== null;

/** How often and by how much the chosen completions are preferred, by setting. */
function ofPairs({ groups }: Result): string[] {
  const each = groups.flatMap(({ name, accuracy, margin }) =>
    accuracy === null || margin === null
      ? []
      : [`${name} in ${(accuracy.mean * 100).toFixed(1)} % of the pairs, by a margin of ${numberText(margin.mean)}`],
  );
  return each.length === 0
    ? []
    : [`At its last evaluation the chosen completion is preferred by ${each.join('; by ')}.`];
}

export const rankedSpread = ({ measure, rankedBy }: Pick<Result, 'measure' | 'rankedBy'>, group: Group) =>
  group[rankedFigure[measure][rankedBy]];

/** `0.2949 higher, 95 % interval 0.2761 to 0.3137, paired by seed, n 3`. */
export function differenceText(difference: Difference): string {
  const { difference: size, margin } = difference;
  const relation = `${numberText(Math.abs(size))} ${size < 0 ? 'lower' : 'higher'}`;
  return margin === null ? `${relation}, ${seedsText(difference)}` : `${relation}, ${intervalText(difference)}`;
}

function intervalText(difference: Difference): string {
  const { difference: size, margin } = difference;
  const ends = [size - margin!, size + margin!].map(numberText);
  return `95 % interval ${ends[0]} to ${ends[1]}, ${seedsText(difference)}`;
}

function seedsText({ method, n: [best, other] }: Difference): string {
  if (method === 'paired') return `paired by seed, n ${best}`;
  if (method === 'welch') return `Welch, n ${best} and ${other}`;
  return best === 1 && other === 1 ? 'one seed each' : `n ${best} and ${other}`;
}

/** What a difference to the best means, in two words. */
export function verdictText(difference: Difference | null): string {
  if (difference === null) return '';
  const { isWithinSpread, difference: size } = difference;
  return isWithinSpread === null ? 'spread unknown' : isWithinSpread ? 'within spread' : size < 0 ? 'better' : 'worse';
}

/** A difference with half the width of its interval: `+0.2949 ± 0.0341`. */
export function aboveText(difference: Difference | null): string {
  if (difference === null) return '–';
  const { difference: size, margin } = difference;
  return `${size < 0 ? '' : '+'}${numberText(size)}${margin === null ? '' : ` ± ${numberText(margin)}`}`;
}

/** States of a setting's runs other than `done`, with their number. */
export function stateText({ runs }: Group): string {
  const others = runs
    .map(({ state, isDiverged, halvedAt }) => (isDiverged ? 'diverged' : halvedAt === null ? state : 'halved'))
    .filter((each) => each !== 'done');
  return [...new Set(others)].map((state) => `${others.filter((each) => each === state).length} ${state}`).join(', ');
}

interface LossColumn {
  rank: RankedBy;
  title: string;
}

/**
 * The three validation losses of a comparison: the one it ranks by, those that have other numbers, and those that have
 * the same. Losses that no setting has are left out.
 */
export function foldedLosses(result: Result): { main: LossColumn; others: LossColumn[]; equal: LossColumn[] } {
  const { alignment, amount, measure, rankedBy, groups } = result;
  const unit = measure === 'loss' ? 'val loss' : 'bits/byte';
  const losses: LossColumn[] = [
    { rank: 'validationLoss', title: `final ${unit}` },
    { rank: 'bestValidationLoss', title: `best ${unit}` },
    { rank: 'alignedLoss', title: amount === null ? 'aligned' : `at ${amountText(amount, alignment)}` },
  ];
  const texts = (rank: RankedBy): string =>
    groups.map((group) => spreadText(group[rankedFigure[measure][rank]])).join();
  const further = losses.filter(
    ({ rank }) => rank !== rankedBy && groups.some((group) => group[rankedFigure[measure][rank]] !== null),
  );
  return {
    main: losses.find(({ rank }) => rank === rankedBy)!,
    others: further.filter(({ rank }) => texts(rank) !== texts(rankedBy)),
    equal: further.filter(({ rank }) => texts(rank) === texts(rankedBy)),
  };
}

export function amountText(amount: number, alignment: Alignment): string {
  if (alignment === 'time') return `${Number((amount / 1000).toPrecision(4)).toLocaleString('en-US')} s`;
  return alignment === 'flops' ? `${amount.toPrecision(3)} FLOPs` : `${grouped(amount)} ${alignment}`;
}
