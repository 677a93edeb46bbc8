/**
 * What a plan allows but hardly anyone means: said before the first step, since it shows only after hours otherwise.
 * The run goes on.
 */
import type { Config } from '../../config/schema.ts';
import { stepsOf } from '../../config/sections/stages.ts';
import { learningRateAt, warmupOf } from '../step/schedule.ts';
import { emptyStageWarnings, runStages } from './stages.ts';

type PlannedConfig = Pick<Config, 'model' | 'training' | 'schedule' | 'optimizer' | 'evaluation' | 'checkpoints'>;

/** A run that is continued: the schedule by which its past updates were made. */
export interface FormerPlan {
  config: Pick<Config, 'schedule' | 'optimizer'>;
  /** Updates that the run was planned to have. */
  steps: number;
  /** Updates that have been made; at least 1. */
  made: number;
}

/** One sentence or two for each. @param former of the run that is continued, if there is one */
export function planWarnings(config: PlannedConfig, steps: number, former?: FormerPlan): string[] {
  return [
    warmupWarning(config, steps),
    decayWarning(config, steps),
    ...emptyStageWarnings(config, steps),
    untrainedPositionsWarning(config, steps),
    bestCheckpointWarning(config, steps, former?.made ?? 0),
    former && rateJumpWarning(config, steps, former),
  ].filter((warning) => warning !== undefined);
}

/** Learned positions beyond a shorter context are not trained before the last stage, and evaluations have them. */
function untrainedPositionsWarning({ model, training }: PlannedConfig, steps: number) {
  const last = training.contextLength === null ? undefined : runStages({ model, training }, steps).at(-1);
  if (last === undefined || last.fromStep === 0 || model.family !== 'gpt2') return undefined;
  return (
    `positions of the family gpt2 are learnt: those of a context of ${model.contextLength} are not trained before ` +
    `step ${last.fromStep + 1}. Evaluations and samples have the whole context from the start, so losses are higher ` +
    'until then.'
  );
}

/** From this many passes over the training text on, repetition is remarked on. */
const manyEpochs = 100;

/** What a run that reads its text very often should know; undefined for others. @param epochs of the whole run */
export function repetitionWarning({ training }: Pick<Config, 'training'>, epochs: number): string | undefined {
  if (training.overfitBatch || epochs < manyEpochs) return undefined;
  return (
    `the run reads its training text ${Math.round(epochs).toLocaleString('en-US')} times. After some tens of passes ` +
    'a model learns the text by heart, and the validation loss rises (Muennighoff et al. 2023, arXiv:2305.16264). ' +
    'Add text or train for fewer steps; evaluation.patience ends a run whose validation loss no longer falls.'
  );
}

function warmupWarning({ schedule, optimizer }: PlannedConfig, steps: number) {
  if (warmupOf(schedule, steps) < steps) return undefined;
  const peak = optimizer.learningRate;
  const highest = learningRateAt(schedule, peak, steps, steps - 1);
  return (
    `schedule.warmupSteps is ${schedule.warmupSteps}, and the run has ${plural(steps, 'step')}: it ends within the ` +
    `warm-up, at a learning rate of ${rate(highest)}; optimizer.learningRate, ${rate(peak)}, is never reached. ` +
    'Lower schedule.warmupSteps or train longer.'
  );
}

function decayWarning({ schedule }: PlannedConfig, steps: number) {
  const { kind, decaySteps } = schedule;
  const warmupSteps = warmupOf(schedule, steps);
  if (kind !== 'warmup-stable-decay' || decaySteps === null || warmupSteps >= steps) return undefined;
  if (warmupSteps + stepsOf(decaySteps, steps) <= steps) return undefined;
  return (
    `schedule.warmupSteps (${schedule.warmupSteps}) and decaySteps (${decaySteps}) together exceed the ` +
    `${plural(steps, 'step')} of the run: the decay takes only the last ${steps - warmupSteps}.`
  );
}

/** `keepBest` ranks checkpoints by a loss of their own step: they need steps with both. The last step has both. */
function bestCheckpointWarning({ evaluation, checkpoints }: PlannedConfig, steps: number, made: number) {
  if (checkpoints.keepBest === null) return undefined;
  const [evaluations, saves] = [evaluation.everySteps, checkpoints.everySteps];
  const only = 'checkpoints.keepBest has only the checkpoint of the last step to choose from: ';
  if (saves === null) return `${only}checkpoints.everySteps is null.`;
  if (evaluations === null) return `${only}evaluation.everySteps is null. Set it to ${saves}.`;
  const both = leastCommonMultiple(evaluations, saves);
  /** Multiples that are still to come, before the last step. */
  const countOf = (everySteps: number): number =>
    Math.max(0, Math.floor((steps - 1) / everySteps) - Math.floor(made / everySteps));
  const [evaluated, saved, met] = [countOf(evaluations), countOf(saves), countOf(both)];
  if (evaluated === 0 && saved === 0) return undefined; // too short a run for any but the last
  // If each evaluation, or each checkpoint, is at a step with both, keepBest does what it says.
  if (met > 0 && (met === evaluated || met === saved)) return undefined;
  const advice =
    `Make one of evaluation.everySteps (${evaluations}) and checkpoints.everySteps (${saves}) a multiple of the ` +
    'other' +
    (both === evaluations || both === saves ? ', within the run.' : '.');
  if (met === 0) return `${only}before it no evaluation and no checkpoint are at the same step. ${advice}`;
  return (
    `checkpoints.keepBest compares only checkpoints that are evaluated at their own step: before the last step ` +
    `${met} of ${saved} checkpoints and ${evaluated} evaluations. ${advice}`
  );
}

/** A change of the rate by less than this share is not worth a warning. */
const smallChange = 0.1;

function rateJumpWarning({ schedule, optimizer }: PlannedConfig, steps: number, former: FormerPlan) {
  const { made } = former;
  if (made >= steps) return undefined;
  const formerRate = (update: number): number =>
    learningRateAt(former.config.schedule, former.config.optimizer.learningRate, former.steps, update);
  const last = formerRate(made - 1);
  const next = learningRateAt(schedule, optimizer.learningRate, steps, made);
  const expected = formerRate(made); // what the next update would have had
  if (Math.abs(next - expected) <= smallChange * Math.max(next, expected)) return undefined;
  const why =
    steps === former.steps
      ? 'the schedule is another one than before'
      : `the schedule is now one of ${steps} steps, and was one of ${former.steps}`;
  return (
    `the learning rate ${next > last ? 'rises' : 'falls'} from ${rate(last)} to ${rate(next)} at step ${made + 1}: ` +
    `${why}.${next > last ? ' The loss may rise for a while.' : ''} ` +
    'Set schedule (kind, warmupSteps, finalLearningRate) for another course of the rate.'
  );
}

/** e.g. 1.002e-4 */
const rate = (value: number): string => value.toExponential(3);

const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

function leastCommonMultiple(a: number, b: number): number {
  let [x, y] = [a, b];
  while (y > 0) [x, y] = [y, x % y];
  return (a / x) * b;
}
