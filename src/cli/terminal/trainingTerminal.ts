/**
 * The terminal as a sink of training facts: a progress bar with loss, speed and time left on a TTY, plain
 * lines otherwise. Everything goes to stderr.
 */
import { Presets, SingleBar } from 'cli-progress';
import type { Fact } from '../../training/sinks/facts.ts';
import { colour, duration, escapeControls, grouped, note, warningText } from './output.ts';

interface TrainingTerminal {
  report(fact: Fact): void;
  /** A line beside the bar. */
  say(text: string): void;
  close(): void;
}

/** Plain lines come at most this often, besides those for evaluations, samples and checkpoints. */
const plainIntervalMs = 10_000;

export function openTrainingTerminal(steps: number, startStep: number, quiet: boolean): TrainingTerminal {
  if (quiet) return { report: warnOnly, say: () => {}, close: () => {} };
  // Some pseudo-terminals have no size; a bar cannot be drawn on those.
  return process.stderr.isTTY && process.stderr.columns > 0 ? barTerminal(steps, startStep) : plainTerminal(steps);
}

/** `--quiet` keeps warnings. */
const warnOnly = (fact: Fact): void => {
  if (fact.kind === 'saveFailed' || fact.kind === 'warning') sayFact(fact, note);
};

function plainTerminal(steps: number): TrainingTerminal {
  let lastMs = 0;
  return {
    report: (fact) => {
      if (fact.kind !== 'step') return sayFact(fact, note);
      const isFirst = lastMs === 0;
      if (!isFirst && performance.now() - lastMs < plainIntervalMs) return;
      lastMs = performance.now();
      note(`step ${fact.step}/${steps}  loss ${fact.loss.toFixed(4)}  ${grouped(fact.tokensPerSecond)} tokens/s`);
    },
    say: note,
    close: () => {},
  };
}

function barTerminal(steps: number, startStep: number): TrainingTerminal {
  const format = `{bar} step {value}/{total}  loss {loss}  {speed} tokens/s  {left} left`;
  const bar = new SingleBar(
    { format, barsize: 24, hideCursor: true, clearOnComplete: true, stream: process.stderr, gracefulExit: false },
    Presets.shades_classic,
  );
  bar.start(steps, startStep, { loss: '–', speed: '–', left: '–' });
  let loss: number | undefined;
  let speed: number | undefined;
  let msPerStep: number | undefined;
  let previousElapsedMs = 0;
  let reported = 0;
  // A running mean that settles into an exponential one: early values are not weighed down by the very first.
  const smooth = (old: number | undefined, value: number): number => {
    const weight = Math.max(0.05, 1 / reported);
    return old === undefined ? value : (1 - weight) * old + weight * value;
  };
  // A line above the bar: the bar's own line is cleared (and wrapping, which the bar turns off, is on for the
  // text), then the bar is drawn again below.
  const say = (text: string): void => {
    process.stderr.write('\r\x1b[2K\x1b[?7h');
    note(text);
    process.stderr.write('\x1b[?7l');
    bar.render();
  };
  // cli-progress goes back at its end to where the cursor stood at its start, over the lines printed since:
  // what it remembers (ESC 7) is made the present line. A second stop does nothing.
  const close = (): void => {
    process.stderr.write('\r\x1b7');
    bar.stop();
  };
  return {
    report: (fact) => {
      if (fact.kind !== 'step') return sayFact(fact, say);
      reported++;
      loss = smooth(loss, fact.loss);
      speed = smooth(speed, fact.tokensPerSecond);
      msPerStep = smooth(msPerStep, fact.elapsedMs - previousElapsedMs);
      previousElapsedMs = fact.elapsedMs;
      const left = duration((steps - fact.step) * msPerStep);
      bar.update(fact.step, { loss: loss.toFixed(3), speed: grouped(speed), left });
    },
    say,
    close,
  };
}

function sayFact(fact: Exclude<Fact, { kind: 'step' }>, say: (text: string) => void): void {
  if (fact.kind === 'device') {
    say(`device: ${fact.device} (${fact.reason})`);
  } else if (fact.kind === 'evaluation') {
    const { step, loss, perplexity, bitsPerByte } = fact;
    const validation = `${colour('cyan', 'validation')} loss ${loss.toFixed(4)}`;
    say(`step ${step}: ${validation}  perplexity ${perplexity.toFixed(2)}  bits per byte ${bitsPerByte.toFixed(3)}`);
  } else if (fact.kind === 'sample') {
    say(
      `step ${fact.step}: ${colour('cyan', 'sample')} ${escapeControls(JSON.stringify(fact.prompt + fact.completion))}`,
    );
  } else if (fact.kind === 'checkpoint') {
    say(`step ${fact.step}: ${colour('cyan', 'checkpoint')} ${fact.path}`);
  } else if (fact.kind === 'saveFailed') {
    say(warningText(`step ${fact.step}: no checkpoint was saved, the next one due tries again. ${fact.message}`));
  } else if (fact.kind === 'warning') {
    say(warningText(`step ${fact.step}: ${fact.message}`));
  }
}
