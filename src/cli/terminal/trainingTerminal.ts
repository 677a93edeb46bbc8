/**
 * Training facts on stderr: a progress bar with loss, speed and time left on a terminal, plain lines elsewhere.
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
  return (fact) => {
    if (fact.kind === 'step') {
      if (!isQuiet) reportStep(fact);
      return;
    }
    const line = lineOf(fact);
    if (line !== undefined && (!isQuiet || fact.kind === 'saveFailed' || fact.kind === 'warning')) note(line);
  };
}

type StepFact = Extract<Fact, { kind: 'step' }>;

function plainLines(steps: number): (fact: StepFact) => void {
  let nextMs = 0;
  return ({ step, loss, tokensPerSecond }) => {
    if (performance.now() < nextMs) return;
    nextMs = performance.now() + plainIntervalMs;
    note(`step ${step}/${steps}  loss ${loss.toFixed(4)}  ${grouped(tokensPerSecond)} tokens/s`);
  };
}

function progressBar(steps: number, startStep: number): (fact: StepFact) => void {
  const mean = { loss: 0, tokensPerSecond: 0, msPerStep: 0 };
  let previousElapsedMs = 0;
  let reported = 0;
  let nextMs = 0;
  showLive(barLine(startStep / steps, [`step ${startStep}/${steps}`]));
  return ({ step, loss, tokensPerSecond, elapsedMs }) => {
    // A running mean that becomes an exponential one, so that the first values do not weigh too much.
    const weight = Math.max(0.05, 1 / ++reported);
    mean.loss += weight * (loss - mean.loss);
    mean.tokensPerSecond += weight * (tokensPerSecond - mean.tokensPerSecond);
    mean.msPerStep += weight * (elapsedMs - previousElapsedMs - mean.msPerStep);
    previousElapsedMs = elapsedMs;
    if (performance.now() < nextMs) return;
    nextMs = performance.now() + drawIntervalMs;
    const left = `${duration((steps - step) * mean.msPerStep)} left`;
    const speed = `${grouped(mean.tokensPerSecond)} tokens/s`;
    showLive(barLine(step / steps, [`step ${step}/${steps}`, `loss ${mean.loss.toFixed(3)}`, left, speed]));
  };
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
function lineOf(fact: Exclude<Fact, StepFact>): string | undefined {
  switch (fact.kind) {
    case 'device':
      return `device: ${fact.device} (${fact.reason})`;
    case 'evaluation':
      return (
        `step ${fact.step}: ${colour('cyan', 'validation')} loss ${fact.loss.toFixed(4)}` +
        `  perplexity ${fact.perplexity.toFixed(2)}  bits per byte ${fact.bitsPerByte.toFixed(3)}`
      );
    case 'sample': {
      const text = escapeControls(JSON.stringify(fact.prompt + fact.completion));
      return `step ${fact.step}: ${colour('cyan', 'sample')} ${text}`;
    }
    case 'checkpoint':
      return `step ${fact.step}: ${colour('cyan', 'checkpoint')} ${fact.path}`;
    case 'saveFailed':
      return warningText(`step ${fact.step}: no checkpoint was saved; the next one due tries again. ${fact.message}`);
    case 'warning':
      return warningText(`step ${fact.step}: ${fact.message}`);
    case 'saving':
      return undefined;
  }
}
