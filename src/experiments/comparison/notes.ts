/** What a reader of a comparison must know: runs that are left out, lengths that differ, what was counted once. */
import { stepsOf, type StepsOrShare } from '../../config/sections/stages.ts';
import type { RunHistory } from '../runHistory.ts';
import { differInObjective, type Comparison, type Group } from './comparison.ts';
import { amountAt, isFinished, lastStep, type RunFigures } from './runFigures.ts';
import { spreadOf, spreadText } from '../../statistics.ts';
import { grouped, listed } from './texts.ts';
import { validationKeys, validationName } from './validationText.ts';
import { valueText } from './settingNames.ts';
import { amountText, rankedSpread } from './wording.ts';

type Result = Omit<Comparison, 'answer' | 'notes'>;

/** @param isDefaultRank whether nobody asked for this kind of loss */
export function notesOf(result: Result, runs: readonly RunHistory[], isDefaultRank: boolean): string[] {
  return [
    ...(result.isComparable || differInObjective(result) ? [] : validationTexts(runs)),
    ...(result.rankedBy === 'alignedLoss' && isDefaultRank ? [whyAligned(result)] : []),
    ...diverged(result.groups),
    ...halved(result.groups),
    ...unfinished(result, runs),
    ...withoutEvaluation(runs),
    ...lengths(result, runs),
    ...equalRuns(result.groups),
    ...warmups(result.groups, runs),
    ...edges(result),
  ];
}

function validationTexts(runs: readonly RunHistory[]): string[] {
  const keys = validationKeys(runs);
  const texts = [...new Set(keys)].map((key) => {
    const evaluated = runs.filter((_, i) => keys[i] === key);
    const hashes = evaluated[0]!.corpus?.files.map(({ sha256 }) => sha256.slice(0, 8));
    const hash = hashes === undefined ? '' : `, SHA-256 ${listed(hashes, 1)}`;
    return `${validationName(evaluated[0]!)}${hash}: ${listed(evaluated.map(({ summary }) => summary.name))}`;
  });
  const more = texts.length > mostTexts ? ` and ${texts.length - mostTexts} more texts` : '';
  return [
    `Validation texts: ${texts.slice(0, mostTexts).join('; ')}${more}. \`clm evaluate RUN --file FILE\` gives the ` +
      'bits per byte of any run on one text; corpus.validation.path sets one for new runs.',
  ];
}

const mostTexts = 4;

function whyAligned({ alignment, amount }: Result): string {
  if (amount === null) return 'Fewer than two settings have finished runs, and the amount all have reached is unknown.';
  return (
    `Fewer than two settings have finished runs, so all runs are compared at ${amountText(amount, alignment)}, which ` +
    'each has reached.'
  );
}

function diverged(groups: readonly Group[]): string[] {
  return groups.flatMap(({ name, runs }) => {
    const lost = runs.filter(({ isDiverged }) => isDiverged);
    if (lost.length === 0) return [];
    const which = lost.length === 1 ? 'which is' : 'which are';
    const left = lost.some(({ isCounted }) => isCounted) ? '' : `, ${which} left out`;
    return [`Training diverged in ${lost.length} of ${count(runs.length, 'run')} of ${name}${left}.`];
  });
}

/** What the halving of a sweep has decided, from the first rung on. */
function halved(groups: readonly Group[]): string[] {
  const stopped = groups.filter(({ runs }) => runs.every(({ halvedAt }) => halvedAt !== null));
  const byStep = stopped.toSorted((a, b) => a.runs[0]!.step - b.runs[0]!.step);
  const rungs = [...new Set(byStep.map(({ runs }) => runs[0]!.halvedAt!))];
  return rungs.map((rung) => {
    const own = byStep.filter(({ runs }) => runs[0]!.halvedAt === rung);
    const named = own.map(({ name, runs }) => `${name} (${lossesText(runs)})`);
    return `Halving stopped ${listed(named)} at ${rung}, by validation loss.`;
  });
}

const lossesText = (runs: readonly RunFigures[]): string =>
  spreadText(spreadOf(runs.map(({ validationLoss }) => validationLoss)));

function unfinished({ groups, rankedBy }: Result, runs: readonly RunHistory[]): string[] {
  const counted = new Map(groups.flatMap((group) => group.runs.map((run): [string, RunFigures] => [run.path, run])));
  const others = runs.filter(
    (run) => !isFinished(run) && run.halvedAt === null && !counted.get(run.summary.path)!.isDiverged,
  );
  if (others.length === 0) return [];
  const named = others.map(({ summary: { name, state, step, steps } }) => {
    const of = steps === null ? '' : ` of ${grouped(steps)}`;
    return `${name} (${state} at step ${grouped(step)}${of})`;
  });
  const isLeftOut = rankedBy !== 'alignedLoss';
  const are = others.length === 1 ? 'run is' : 'runs are';
  return [`${others.length} ${are} not finished${isLeftOut ? ' and left out' : ''}: ${listed(named)}.`];
}

function withoutEvaluation(runs: readonly RunHistory[]): string[] {
  const without = runs.filter((run) => isFinished(run) && run.summary.validationLoss === null);
  if (without.length === 0) return [];
  return [
    `${count(without.length, 'finished run')} ${without.length === 1 ? 'has' : 'have'} no validation loss: ` +
      `${listed(without.map(({ summary }) => summary.name))}.`,
  ];
}

/** Last and best losses of runs of different lengths are compared as they are. */
function lengths({ groups, rankedBy }: Result, runs: readonly RunHistory[]): string[] {
  if (rankedBy === 'alignedLoss') return [];
  const counted = new Set(groups.flatMap((group) => group.runs.filter(({ isCounted }) => isCounted).map(pathOf)));
  const trained = runs.filter((run) => counted.has(run.summary.path));
  for (const unit of ['tokens', 'steps'] as const) {
    const amounts = trained.map((run) => amountAt(run, unit, lastStep(run)));
    if (amounts.some((each) => each === null)) continue;
    const [least, most] = [Math.min(...(amounts as number[])), Math.max(...(amounts as number[]))];
    if (trained.length === 0 || least === most) return [];
    return [
      `Runs trained for different lengths: ${grouped(least)} to ${grouped(most)} ${unit}. ` +
        '`clm compare --rank aligned` compares them at an equal amount.',
    ];
  }
  return [];
}

function equalRuns(groups: readonly Group[]): string[] {
  const repeated = groups.flatMap(({ name, runs, seeds }) => {
    const extra = runs.filter(({ isCounted }) => isCounted).length - seeds.length;
    return extra > 0 ? [`${name} (${extra} more ${extra === 1 ? 'run' : 'runs'} than seeds)`] : [];
  });
  if (repeated.length === 0) return [];
  return [`Equal runs of one seed count as one observation: ${listed(repeated)}.`];
}

/** Runs whose learning rate was still rising at their last step. */
function warmups(groups: readonly Group[], runs: readonly RunHistory[]): string[] {
  const counted = new Set(groups.flatMap((group) => group.runs.filter(({ isCounted }) => isCounted).map(pathOf)));
  const trained = runs.filter(({ summary }) => counted.has(summary.path));
  const rising = trained.filter(({ config, summary: { step, steps } }) => {
    const warmup = config.get('schedule.warmupSteps') as StepsOrShare | undefined;
    return warmup !== undefined && stepsOf(warmup, steps ?? step) >= step;
  });
  if (rising.length === 0) return [];
  const isEvery = rising.length === trained.length && trained.length > 1;
  const whose = isEvery ? 'every run' : `${grouped(rising.length)} of ${count(trained.length, 'run')}`;
  return [
    `The learning rate of ${whose} was never reached: schedule.warmupSteps is not less than their number ` +
      `of steps (${listed(rising.map(({ summary }) => summary.name))}). Lower it, or train longer.`,
  ];
}

/** From this many values of a key on, the best is expected to be between others. */
const fewestValues = 3;

function edges(result: Result): string[] {
  const [best, ...others] = result.groups.filter((group) => rankedSpread(result, group) !== null);
  if (!result.isComparable || best === undefined) return [];
  const found = Object.entries(best.values).flatMap(([key, value]) => {
    const values = [best, ...others].map((group) => group.values[key]);
    if (/^training\.(steps|tokens|epochs)$/.test(key)) return []; // longer is nearly always better
    if (!values.every((each) => typeof each === 'number') || new Set(values).size < fewestValues) return [];
    const [least, most] = [Math.min(...values), Math.max(...values)];
    if (value !== most && (value !== least || least === 0)) return [];
    return [`${key} ${valueText(value)}, the ${value === most ? 'largest' : 'smallest'} of ${new Set(values).size}`];
  });
  if (found.length === 0) return [];
  return [
    `The lowest loss is at the edge of the values tried (${found.join('; ')}): values beyond it may be better still.`,
  ];
}

const pathOf = ({ path }: RunFigures): string => path;
const count = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`;
