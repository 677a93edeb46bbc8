/**
 * Training facts on stderr: a progress bar with the smoothed loss, speed and time left on a terminal, plain lines
 * elsewhere.
 */
import type { Fact, Report } from '../../training/sinks/facts.ts';
import { canRedraw } from './abilities.ts';
import { showLive } from './liveLine.ts';
import { colour, duration, escapeControls, grouped, note, warningText } from './output.ts';

/** Steps are printed as plain lines at most this often. */
const plainIntervalMs = 10_000;
const drawIntervalMs = 100;

/** @param startStep the step that training starts from, 0 for a new run */
export function reportToTerminal(steps: number, startStep: number, isQuiet: boolean): Report {
  const reportStep = canRedraw(process.stderr) ? progressBar(steps, startStep) : plainLines(steps);
  const reportReference = openReferenceLine();
  let hasPaused = false;
  return (fact) => {
    if (fact.kind === 'step') {
      if (!isQuiet) reportStep(fact, hasPaused);
      hasPaused = false;
      return;
    }
    if (fact.kind === 'reference') {
      if (!isQuiet) reportReference(fact);
      return;
    }
    hasPaused = true;
    const line = lineOf(fact);
    if (line !== undefined && (!isQuiet || fact.kind === 'saveFailed' || fact.kind === 'warning')) note(line);
  };
}

type StepFact = Extract<Fact, { kind: 'step' }>;
type ReferenceFact = Extract<Fact, { kind: 'reference' }>;

/** How many pairs the reference has scored: a bar on a terminal, elsewhere a line now and then. */
function openReferenceLine(): (fact: ReferenceFact) => void {
  const isLive = canRedraw(process.stderr);
  let nextMs = 0;
  return ({ done, pairs }) => {
    const text = `reference: ${grouped(done)} of ${grouped(pairs)} pairs`;
    const isLast = done === pairs;
    if (!isLast && performance.now() < nextMs) return;
    nextMs = performance.now() + (isLive ? drawIntervalMs : plainIntervalMs);
    if (isLive && !isLast) showLive(barLine(done / pairs, [text]));
    else note(text);
  };
}

/** @param hasPaused whether there was an evaluation, a sample or a checkpoint since the step before */
type ReportStep<Result> = (fact: StepFact, hasPaused: boolean) => Result;

function plainLines(steps: number): ReportStep<void> {
  const meanOf = openMeans(steps);
  let nextMs = 0;
  return (fact, hasPaused) => {
    const facts = meanOf(fact, hasPaused);
    if (performance.now() < nextMs) return;
    nextMs = performance.now() + plainIntervalMs;
    note(facts.join('  '));
  };
}

function progressBar(steps: number, startStep: number): ReportStep<void> {
  const meanOf = openMeans(steps);
  let nextMs = 0;
  showLive(barLine(startStep / steps, [`step ${startStep}/${steps}`]));
  return (fact, hasPaused) => {
    const facts = meanOf(fact, hasPaused);
    if (performance.now() < nextMs) return;
    nextMs = performance.now() + drawIntervalMs;
    showLive(barLine(fact.step / steps, facts));
  };
}

/**
 * What is said of each step: the loss as a running mean, exponential after the first twenty steps, and likewise the
 * speed and the time left, of this process alone. The first step counts towards the loss only: most of its time is
 * start-up.
 */
function openMeans(steps: number): ReportStep<string[]> {
  const [loss, margin, accuracy] = [openMean(), openMean(), openMean()];
  const tokensPerSecond = openMean();
  const meanOfSteps = openMean();
  let first: StepFact | undefined;
  let [previousMs, msPerStep, pausesMs] = [0, NaN, 0];
  return (fact, hasPaused) => {
    const { step, elapsedMs } = fact;
    const shown = [`step ${step}/${steps}`, `smoothed loss ${loss(fact.loss).toFixed(3)}`];
    if (fact.margin !== undefined)
      shown.push(`margin ${margin(fact.margin).toFixed(3)}`, `accuracy ${percent(accuracy(fact.accuracy!))}`);
    first ??= fact;
    if (fact !== first) {
      // Pauses go on as they were so far: as part of a running mean, one would count as if every step took as long.
      const ms = elapsedMs - previousMs;
      if (hasPaused && !Number.isNaN(msPerStep)) pausesMs += ms - msPerStep;
      else msPerStep = meanOfSteps(ms);
      const leftMs = (steps - step) * (msPerStep + pausesMs / (step - first.step));
      shown.push(`${duration(leftMs)} left`, `${grouped(tokensPerSecond(fact.tokensPerSecond))} tokens/s`);
    }
    previousMs = elapsedMs;
    return shown;
  };
}

const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;

/** A running mean that becomes an exponential one, so that the first values do not weigh too much. */
function openMean(): (value: number) => number {
  let [mean, count] = [0, 0];
  return (value) => (mean += Math.max(0.05, 1 / ++count) * (value - mean));
}

/** A bar and as many of the facts as fit; the bar is the first to go. */
function barLine(share: number, facts: readonly string[]): string {
  const width = process.stderr.columns - 1;
  const fitting = facts.filter((_, i) => facts.slice(0, i + 1).join('  ').length <= width).join('  ');
  const cells = Math.min(24, width - fitting.length - 1);
  if (cells < 8) return fitting;
  const full = Math.round(cells * share);
  return `${'█'.repeat(full)}${'░'.repeat(cells - full)} ${fitting}`;
}

/** @returns nothing for facts that are not for people */
function lineOf(fact: Exclude<Fact, StepFact | ReferenceFact>): string | undefined {
  switch (fact.kind) {
    case 'device':
      return `device: ${fact.device} (${fact.reason})`;
    case 'evaluation':
      return (
        `step ${fact.step}: ${colour('cyan', 'validation')} loss ${fact.loss.toFixed(4)}` +
        (fact.margin === undefined
          ? `  perplexity ${fact.perplexity.toFixed(2)}  bits per byte ${fact.bitsPerByte.toFixed(3)}`
          : `  margin ${fact.margin.toFixed(4)}  accuracy ${percent(fact.accuracy!)}` +
            `  rewards ${fact.rewardChosen!.toFixed(4)} and ${fact.rewardRejected!.toFixed(4)}`)
      );
    case 'sample': {
      const lines = escapeControls(fact.prompt + fact.completion).split('\n');
      return [`step ${fact.step}: ${colour('cyan', 'sample')}`, ...lines.map((line) => `  | ${line}`)].join('\n');
    }
    case 'checkpoint':
      return `step ${fact.step}: ${colour('cyan', 'checkpoint')} ${fact.path}`;
    case 'saveFailed':
      return warningText(`step ${fact.step}: no checkpoint was saved; the next one due tries again. ${fact.message}`);
    case 'warning':
      return warningText(`step ${fact.step}: ${fact.message}`);
    case 'start':
    case 'saving':
    case 'end':
      return undefined;
  }
}
