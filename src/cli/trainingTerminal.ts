/**
 * The terminal as a sink of training facts: a progress bar with loss, speed and time left on a TTY, plain
 * lines otherwise. Everything goes to stderr.
 */
import { Presets, SingleBar } from 'cli-progress';
import type { Fact } from '../training/facts.ts';
import { colour, duration, grouped, note } from './output.ts';

export interface TrainingTerminal {
  report(fact: Fact): void;
  close(): void;
}

/** Plain lines come at most this often, besides those for evaluations, samples and checkpoints. */
const plainIntervalMs = 10_000;

export function openTrainingTerminal(steps: number, startStep: number, quiet: boolean): TrainingTerminal {
  if (quiet) return { report: () => {}, close: () => {} };
  return process.stderr.isTTY ? barTerminal(steps, startStep) : plainTerminal(steps);
}

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
  const smooth = (old: number | undefined, value: number): number => (old === undefined ? value : 0.95 * old + 0.05 * value);
  // A line above the bar: the bar's own line is cleared, the next update draws it again below.
  const say = (text: string): void => {
    process.stderr.write('\r\x1b[2K');
    note(text);
    bar.render();
  };
  return {
    report: (fact) => {
      if (fact.kind !== 'step') return sayFact(fact, say);
      loss = smooth(loss, fact.loss);
      speed = smooth(speed, fact.tokensPerSecond);
      msPerStep = smooth(msPerStep, fact.elapsedMs - previousElapsedMs);
      previousElapsedMs = fact.elapsedMs;
      const left = duration((steps - fact.step) * msPerStep);
      bar.update(fact.step, { loss: loss.toFixed(3), speed: grouped(speed), left });
    },
    close: () => bar.stop(),
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
    say(`step ${fact.step}: ${colour('cyan', 'sample')} ${JSON.stringify(fact.prompt + fact.completion)}`);
  } else if (fact.kind === 'checkpoint') {
    say(`step ${fact.step}: ${colour('cyan', 'checkpoint')} ${fact.path}`);
  }
}
